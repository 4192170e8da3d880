//! Heavy users, while an attacker brings a new key with every call, under the simplest rate limit
//! there is: a state is the time in nanoseconds from which on a key may burst in full.

use watertight_core::Key;

use super::{Full, Table, WhenFull};

const SECOND: u64 = 1_000_000_000;

/// Ten tokens a second, and a burst of ten.
const TOKEN: u64 = SECOND / 10;
const BURST: u64 = 10 * TOKEN;

const USERS: usize = 10;

/// A user calls ten times as often as the quota allows.
const STEP: u64 = TOKEN / 10;

struct Attack {
    keys: u64,
    /// How many of them owe a token at a time: all that came in the last tenth of a second.
    at_a_time: u64,
    max_keys: usize,
    when_full: WhenFull,
}

impl Attack {
    /// Returns how many calls of each user were admitted, for each call that the quota allows, and
    /// how many keys of the attacker were let in.
    fn run(&self) -> ([f64; USERS], u64) {
        let table = Table::new(self.max_keys);
        let (mut admitted, mut let_in) = ([0_u64; USERS], 0);
        let keys_a_step = self.at_a_time * STEP / TOKEN;
        let steps = self.keys / keys_a_step;

        let used = allocation_counter::measure(|| {
            for step in 0..steps {
                let now = SECOND + step * STEP;
                for (user, admitted) in (0_u8..).zip(&mut admitted) {
                    let admission = self.admit(&table, Key::of(user), now);
                    *admitted += u64::from(admission == Ok(Ok(())));
                }
                for key in step * keys_a_step..(step + 1) * keys_a_step {
                    let_in += u64::from(self.admit(&table, Key::of(key), now).is_ok());
                }
            }
        });

        assert_eq!(used.count_total, 0, "memory moves");
        assert!(table.len(|state| state) <= 2 * self.max_keys);
        let allowed = (steps * STEP + BURST) as f64 / TOKEN as f64;
        (admitted.map(|admitted| admitted as f64 / allowed), let_in)
    }

    fn admit(&self, table: &Table, key: Key, now: u64) -> Result<Result<(), ()>, Full> {
        let worth = |full_at: u64| full_at.saturating_sub(now);
        let taken = table.update(key, self.when_full, worth, |full_at| {
            let full_at = full_at.max(now) + TOKEN;
            (full_at <= now + BURST).then_some(full_at).ok_or(())
        });
        Ok(taken?.map(drop))
    }
}

#[track_caller]
fn assert_all_have_their_share(shares: [f64; USERS]) {
    for share in shares {
        assert!((share - 1.0).abs() < 0.01, "{shares:?}");
    }
}

#[test]
fn heavy_users_are_held_to_their_quota_while_half_a_million_keys_pour_in() {
    let attack = Attack {
        keys: 500_000,
        at_a_time: 1_000,
        max_keys: 100,
        when_full: WhenFull::Evict,
    };

    let (shares, let_in) = attack.run();

    assert_all_have_their_share(shares);
    assert_eq!(let_in, attack.keys);
}

#[test]
#[ignore = "takes several seconds"]
fn heavy_users_are_held_to_their_quota_while_five_million_keys_pour_in() {
    let attack = Attack {
        keys: 5_000_000,
        at_a_time: 10_000,
        max_keys: 1_000,
        when_full: WhenFull::Evict,
    };

    let (shares, _) = attack.run();

    assert_all_have_their_share(shares);
}

/// They came before the attacker, and never owe nothing for long enough to be forgotten.
#[test]
fn heavy_users_keep_their_quota_where_no_key_is_evicted() {
    let attack = Attack {
        keys: 500_000,
        at_a_time: 1_000,
        max_keys: 100,
        when_full: WhenFull::Refuse,
    };

    let (shares, let_in) = attack.run();

    assert_all_have_their_share(shares);
    assert!(let_in < attack.keys / 2);
}
