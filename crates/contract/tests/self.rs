//! The suite, shown to find what it is for: layers with one fault each break exactly one rule.

mod faulty;
mod repeating;

use std::time::Duration;

use tower::layer::util::Identity;
use tower::limit::GlobalConcurrencyLimitLayer;
use tower::timeout::TimeoutLayer;
use watertight_contract::{Answer, Contract, Report, Rule, Verdict};

use self::faulty::{Fault, FaultyLayer, LIMIT};
use self::repeating::{Lapse, RepeatingLayer};

fn contract(fault: Fault) -> Contract<FaultyLayer> {
    Contract::new(move || FaultyLayer::new(fault)).refuses_after(LIMIT, Answer::Pending)
}

fn repeating(lapse: Lapse) -> Contract<RepeatingLayer> {
    Contract::new(move || RepeatingLayer::new(lapse))
        .never_refuses("it waits for a permit")
        .allocations(1)
}

fn broken(report: &Report) -> Vec<Rule> {
    report.broken().collect()
}

#[test]
fn a_layer_without_faults_keeps_the_contract() {
    contract(Fault::None).check();
}

/// Each fault breaks the rule that is named, and no other.
macro_rules! faults {
    ($($test:ident: $fault:ident breaks $rule:ident;)*) => {
        $(
            #[test]
            fn $test() {
                let report = contract(Fault::$fault).run();

                assert_eq!(broken(&report), [Rule::$rule], "{report}");
            }
        )*

        #[test]
        fn every_rule_is_broken_by_a_fault() {
            let broken = [$(Rule::$rule),*];

            for rule in Rule::ALL {
                assert!(broken.contains(&rule), "{rule:?}");
            }
        }
    };
}

faults! {
    refuses_all: RefusesAll breaks Serves;

    calls_a_clone: CallsAClone breaks CallsReadyInstance;
    clones_readiness: ClonesReadiness breaks ForgetsReadiness;
    stays_ready: StaysReady breaks ForgetsReadiness;
    ignores_pending_readiness: IgnoresPendingReadiness breaks WaitsForReadiness;
    loses_readiness_waker: LosesReadinessWaker breaks WaitsForReadiness;
    eats_readiness_error: EatsReadinessError breaks ReadinessErrors;
    retries_readiness: RetriesReadiness breaks ReadinessErrors;
    wraps_readiness_error: WrapsReadinessError breaks ReadinessErrors;
    repeats_readiness_error: RepeatsReadinessError breaks ReadinessErrors;
    reserves_in_poll_ready: ReservesInPollReady breaks ReservesNothing;
    loses_reservations: LosesReservations breaks ReservesNothing;

    changes_request: ChangesRequest breaks Responses;
    changes_response: ChangesResponse breaks Responses;
    calls_twice: CallsTwice breaks Responses;
    wraps_error: WrapsError breaks Errors;
    eats_error: EatsError breaks Errors;
    answers_late: AnswersLate breaks AnswersAtOnce;
    polls_after_end: PollsAfterEnd breaks EndsOnce;

    keeps_permit_when_dropped_unpolled: KeepsPermitWhenDroppedUnpolled breaks DropUnpolled;
    keeps_permit_when_dropped_polled: KeepsPermitWhenDroppedPolled breaks DropPolled;
    keeps_permit_when_dropped_after_three_polls:
        KeepsPermitWhenDroppedAfterThreePolls breaks DropPolled;
    keeps_inner_future: KeepsInnerFuture breaks DropsInner;

    keeps_permit_when_call_panics: KeepsPermitWhenCallPanics breaks PanicInCall;
    catches_panic_in_call: CatchesPanicInCall breaks PanicInCall;
    keeps_permit_when_poll_panics: KeepsPermitWhenPollPanics breaks PanicInPoll;
    keeps_permit_when_second_poll_panics: KeepsPermitWhenSecondPollPanics breaks PanicInPoll;
    catches_panic_in_poll: CatchesPanicInPoll breaks PanicInPoll;

    throws_waker_away: ThrowsWakerAway breaks WakesResponse;
    keeps_the_first_waker: KeepsTheFirstWaker breaks OneWakerPerWaiter;
    shares_one_waker: SharesOneWaker breaks OneWakerPerWaiter;
    shares_one_readiness_waker: SharesOneReadinessWaker breaks OneWakerPerWaiter;
    wakes_itself: WakesItself breaks NoSelfWake;
    wakes_itself_in_poll_ready: WakesItselfInPollReady breaks NoSelfWake;
    spins: Spins breaks NoSpinning;
    spins_in_poll_ready: SpinsInPollReady breaks NoSpinning;

    refuses_every_second_call: RefusesEverySecondCall breaks Refuses;
    refuses_with_text: RefusesWithText breaks RejectionErrors;
    limits_clones_apart: LimitsClonesApart breaks ClonesShare;
    limits_each_service: LimitsEachService breaks LayersShare;
    limits_each_layer_clone: LimitsEachLayerClone breaks LayersShare;

    allocates: Allocates breaks Allocations;
    allocates_in_poll: AllocatesInPoll breaks Allocations;
    allocates_in_clone: AllocatesInClone breaks CloneAllocations;
}

#[test]
fn a_waker_that_is_registered_once_breaks_both_rules_about_it() {
    let report = contract(Fault::RegistersOnce).run();

    assert_eq!(
        broken(&report),
        [Rule::WakesResponse, Rule::OneWakerPerWaiter],
        "{report}"
    );
}

#[test]
fn a_layer_that_repeats_and_waits_keeps_the_contract() {
    repeating(Lapse::None).check();
}

#[test]
fn a_repeat_without_readiness_is_found() {
    let report = repeating(Lapse::SkipsReadiness).run();

    assert_eq!(broken(&report), [Rule::CallsReadyInstance], "{report}");
}

#[test]
fn a_permit_that_is_kept_by_a_call_dropped_in_backoff_is_found() {
    let report = repeating(Lapse::KeepsPermitInBackoff).run();

    assert_eq!(broken(&report), [Rule::DropPolled], "{report}");
}

#[test]
fn a_rule_that_is_excepted_may_be_broken() {
    let report = contract(Fault::WrapsError)
        .except(Rule::Errors, "its errors name the shard")
        .run();

    assert!(report.is_kept(), "{report}");
    let errors = &report.findings()[Rule::Errors as usize];
    assert_eq!(errors.rule, Rule::Errors);
    assert_eq!(
        errors.verdict,
        Verdict::Excepted {
            why: "its errors name the shard".into()
        }
    );
}

#[test]
fn an_exception_that_is_not_needed_breaks_the_contract() {
    let report = contract(Fault::None)
        .except(Rule::Errors, "its errors name the shard")
        .run();

    assert!(!report.is_kept());
    assert!(report.idle_exceptions().eq([Rule::Errors]));
    assert!(broken(&report).is_empty());
}

#[test]
fn a_layer_that_never_refuses_says_so() {
    let silent = Contract::new(Identity::new).run();
    let says_so = Contract::new(Identity::new).never_refuses("it passes all calls");

    assert_eq!(
        broken(&silent),
        [
            Rule::Refuses,
            Rule::RejectionErrors,
            Rule::ClonesShare,
            Rule::LayersShare
        ]
    );
    says_so.check();
}

#[test]
fn allocations_that_are_allowed_break_nothing() {
    contract(Fault::Allocates).allocations(1).check();
}

#[test]
fn a_panic_of_the_layer_breaks_the_rule_that_is_played() {
    let report = Contract::new(|| -> Identity { panic!("no socket") }).run();

    assert_eq!(broken(&report), [Rule::Serves]);
    assert!(
        report.to_string().contains("a panic: no socket"),
        "{report}"
    );
}

#[test]
fn the_report_says_the_rule_and_what_was_seen() {
    let report = contract(Fault::CallsAClone).run().to_string();

    assert!(
        report.ends_with(
            "FaultyLayer does not keep the contract: 1 of 25 rules\n\n\
             CallsReadyInstance\n    \
             rule: only an instance that was polled ready is called\n    \
             seen: 9 calls of instances not ready, with a service that is called again and again"
        ),
        "{report}"
    );
}

#[test]
#[should_panic(expected = "does not keep the contract: 1 of 25 rules")]
fn check_panics_with_the_report() {
    contract(Fault::Spins).check();
}

#[test]
fn tower_reserves_concurrency_in_poll_ready() {
    let report = Contract::new(|| GlobalConcurrencyLimitLayer::new(100))
        .never_refuses("it waits in poll_ready")
        .run();

    assert_eq!(broken(&report), [Rule::ReservesNothing], "{report}");
}

#[test]
fn tower_keeps_the_contract_with_its_timeout() {
    Contract::new(|| TimeoutLayer::new(Duration::from_secs(5)))
        .never_refuses("it cuts calls off, and refuses none")
        .check();
}
