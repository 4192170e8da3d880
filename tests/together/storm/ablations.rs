//! What each part of the defence is worth: the storm without it, and with it alone.
//!
//! The parts cover for each other: without any one of them it is over within two seconds all the
//! same, and even the breaker alone ends it. What each is there for shows in other figures.
//!
//! - The bound keeps the backlog out. The server has nobody for longer than a quarter of a second,
//!   and works on no more calls in vain than it has slots and places.
//! - The deadline is what ends it where the queue has no bound: nobody is kept for longer than callers
//!   wait. Beside the bound it has nothing to do if it counts from the arrival, for no call stays so
//!   long. If it counts from the sending, as where it is marked with `*`, it saves the work on the
//!   backlog too, but for the one late call of ten that it lets through.
//! - The breaker keeps calls from a server that is down, and tells their callers at once. For that it
//!   costs up to a second after the outage, until it has seen that the server is well.
//! - The budget bounds what retries add while no breaker is open. Where no call arrives, that is not
//!   for long. Where a third is lost the breaker stays closed, and only the budget bounds what is
//!   sent. Alone it ends neither.

use super::load::{OUTAGE, SECOND, healed, rate};
use super::stack::{Parts, Scene, Seen, play};

const OFFERED: u32 = 280;

/// One row of a table: the parts, and what is to come of it.
struct Row {
    parts: &'static str,
    /// How many seconds after the outage all is well.
    heals: Option<u32>,
    /// How many calls are sent a second in the outage.
    sent: u32,
    /// How many calls the server works on in vain.
    in_vain: u32,
    /// For how many milliseconds it keeps a call at most.
    kept: u32,
    /// For how many milliseconds a caller waits who gets no answer, on average.
    waited: u32,
}

const fn row(parts: &'static str, heals: Option<u32>, figures: [u32; 4]) -> Row {
    let [sent, in_vain, kept, waited] = figures;
    Row {
        parts,
        heals,
        sent,
        in_vain,
        kept,
        waited,
    }
}

/// No call arrives in the outage.
#[rustfmt::skip]
const WHOLE: [Row; 20] = [
    //                                             heals  sent in vain   kept waited
    row("deadline bound budget breaker",         Some(1), [ 39,   75,    250,   136]),
    row("         bound budget breaker",         Some(1), [ 39,   75,    250,   136]),
    row("deadline       budget breaker",         Some(2), [ 39,  329,  1_000,   126]),
    row("deadline bound        breaker",         Some(1), [ 39,   75,    250,   136]),
    row("deadline bound budget        ",         Some(1), [318,   75,    250, 1_086]),

    row("deadline                     ",         Some(1), [532,  329,  1_000, 1_729]),
    row("         bound               ",         Some(1), [532,   75,    250, 1_800]),
    row("               budget        ",         None,    [318, 6_329, 11_600, 1_135]),
    row("                      breaker",         Some(3), [ 39,  393,  1_300,   115]),
    row("                             ",         None,    [532, 6_629, 19_700, 2_000]),

    row("deadline bound               ",         Some(1), [532,   75,    250, 1_800]),
    row("deadline       budget        ",         Some(1), [318,  329,  1_000, 1_033]),
    row("deadline              breaker",         Some(2), [ 39,  329,  1_000,   126]),
    row("         bound budget        ",         Some(1), [318,   75,    250, 1_086]),
    row("         bound        breaker",         Some(1), [ 39,   75,    250,   136]),
    row("               budget breaker",         Some(3), [ 39,  393,  1_300,   115]),

    row("deadline* bound budget breaker",        Some(1), [ 39,   39,    130,   137]),
    row("deadline*       budget breaker",        Some(1), [ 39,   39,    130,   137]),
    row("deadline* bound budget        ",        Some(1), [318,   75,    250, 1_086]),
    row("deadline*                     ",        Some(1), [532,  329,  1_000, 1_761]),
];

/// One call of three arrives only after the outage.
#[rustfmt::skip]
const A_THIRD: [Row; 10] = [
    row("deadline bound budget breaker",         Some(1), [318,   74,    247, 1_041]),
    row("         bound budget breaker",         Some(1), [318,   74,    247, 1_041]),
    row("deadline       budget breaker",         Some(2), [318,  329,  1_000,   731]),
    row("deadline bound        breaker",         Some(1), [379,   74,    247, 1_300]),
    row("deadline bound budget        ",         Some(1), [318,   74,    247, 1_041]),

    row("deadline                     ",         Some(1), [379,  329,  1_000,   766]),
    row("         bound               ",         Some(1), [379,   74,    247, 1_300]),
    row("               budget        ",         None,    [318, 6_329,  5_040, 1_133]),
    row("                      breaker",         Some(6), [379, 1_348,  4_271,   295]),
    row("                             ",         None,    [379, 6_629, 12_183, 2_000]),
];

/// Plays it with the parts that are named.
async fn play_with(parts: &str, lost_one_in: u32) -> Seen {
    let scene = Scene {
        offered: OFFERED,
        seconds: 40,
        lost_one_in,
    };
    play(Parts::named(parts), scene).await
}

/// Plays all rows of a table. The figures hold to a tenth.
async fn check(table: &[Row], lost_one_in: u32) {
    for row in table {
        let seen = play_with(row.parts, lost_one_in).await;

        let heals = healed(&seen.good, OFFERED).map(|second| second - OUTAGE.end);
        assert_eq!(heals, row.heals, "{}: {seen:?}", row.parts);
        let sent = rate(&seen.sent, OUTAGE);
        for (what, seen, expected) in [
            ("sent", sent, row.sent),
            ("in vain", f64::from(seen.in_vain), row.in_vain),
            ("kept", seen.kept.as_secs_f64() * 1e3, row.kept),
            ("waited", seen.waited.as_secs_f64() * 1e3, row.waited),
        ] {
            let ratio = seen / f64::from(expected);
            let parts = row.parts;
            assert!((0.9..1.1).contains(&ratio), "{parts}: {what}: {seen}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn each_part_is_worth_what_the_table_says_where_no_call_arrives() {
    check(&WHOLE, 1).await;
}

#[tokio::test(start_paused = true)]
async fn each_part_is_worth_what_the_table_says_where_a_third_is_lost() {
    check(&A_THIRD, 3).await;
}

#[tokio::test(start_paused = true)]
async fn without_the_deadline_calls_are_worked_on_whose_callers_have_gone() {
    let with = play_with("deadline* bound budget breaker", 1).await;
    let without = play_with("bound budget breaker", 1).await;

    let backlog = with.sent[OUTAGE.start as usize..OUTAGE.end as usize].iter();
    let let_through = backlog.sum::<u32>() / 10;
    assert!(with.in_vain <= let_through, "{with:?}");
    assert!(without.in_vain > let_through, "{without:?}");
}

#[tokio::test(start_paused = true)]
async fn without_the_bound_calls_are_kept_as_long_as_their_callers_wait() {
    let with = play_with("deadline bound budget breaker", 1).await;
    let without = play_with("deadline budget breaker", 1).await;

    assert!(with.kept <= SECOND / 4, "{with:?}");
    assert_eq!(without.kept, SECOND);
}

#[tokio::test(start_paused = true)]
async fn without_the_budget_retries_add_as_many_calls_as_are_lost() {
    let with = play_with("deadline bound budget breaker", 3).await;
    let without = play_with("deadline bound breaker", 3).await;

    let offered = f64::from(OFFERED);
    assert!(rate(&with.sent, OUTAGE) < 1.15 * offered, "{with:?}");
    assert!(rate(&without.sent, OUTAGE) > 1.3 * offered, "{without:?}");
}

#[tokio::test(start_paused = true)]
async fn without_the_breaker_all_calls_are_sent_to_a_dead_server_and_waited_for() {
    let with = play_with("deadline bound budget breaker", 1).await;
    let without = play_with("deadline bound budget", 1).await;

    let offered = f64::from(OFFERED);
    assert!(rate(&with.sent, OUTAGE) < offered / 5.0, "{with:?}");
    assert!(rate(&without.sent, OUTAGE) > offered, "{without:?}");
    assert!(with.waited < SECOND / 5, "{with:?}");
    assert!(without.waited > SECOND, "{without:?}");
}
