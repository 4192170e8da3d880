//! What Redis is asked, and what it keeps.

use std::time::Duration;

use watertight_breaker::State;
use watertight_core::{Key, Name};
use watertight_ratelimit::Quota;
use watertight_ratelimit::store::{Act, Order, Rule, Store};
use watertight_redis::Error;

use crate::harness::{RedisServer, query};
use crate::stage::{ask, remaining, rules, store, take};

#[tokio::test]
async fn a_script_that_redis_has_forgotten_is_sent_again() {
    let server = RedisServer::start();
    let store = store(&server);
    assert_eq!(remaining(&take(&store).await.unwrap()), 99);

    let () = query(&mut server.connect(), &["SCRIPT", "FLUSH"]);

    assert_eq!(remaining(&take(&store).await.unwrap()), 98);
}

#[tokio::test]
async fn a_decision_is_one_command() {
    let server = RedisServer::start();
    let store = store(&server);
    take(&store).await.unwrap();
    let () = query(&mut server.connect(), &["CONFIG", "RESETSTAT"]);

    for _ in 0..10 {
        take(&store).await.unwrap();
    }

    let said: String = query(&mut server.connect(), &["INFO", "commandstats"]);
    assert!(said.contains("cmdstat_evalsha:calls=10,"), "{said}");
    assert!(!said.contains("cmdstat_eval:"), "{said}");
}

#[tokio::test]
async fn what_a_key_was_made_of_is_not_stored() {
    let server = RedisServer::start();
    let store = store(&server);
    let quotas = Quota::per_minute(10).into();

    for rule in rules(&quotas) {
        assert_eq!(ask(&store, rule, Act::Take(1)).await.unwrap().taken, 1);
    }

    let keys: Vec<String> = query(&mut server.connect(), &["KEYS", "*"]);
    assert_eq!(keys.len(), 5);
    let hash = Key::of("alice@example.com");
    for key in keys {
        let start = format!("watertight:{{api:{hash}}}:");
        assert!(key.starts_with(&start), "{key}");
    }
}

#[tokio::test]
async fn a_key_lives_as_long_as_anything_depends_on_it() {
    let server = RedisServer::start();
    let store = store(&server);
    let quotas = Quota::per_minute(10).and(Quota::per_hour(7));
    let quota = quotas.as_slice()[1].into();
    let mut connection = server.connect();
    let mut millis = || {
        let (seconds, micros): (u64, u64) = query(&mut connection, &["TIME"]);
        seconds * 1_000 + micros / 1_000
    };

    for rule in rules(&quota) {
        let () = query(&mut server.connect(), &["FLUSHALL"]);
        let asked = millis();
        let answer = ask(&store, rule, Act::Take(1)).await.unwrap();
        let answered = millis();

        let keys: Vec<String> = query(&mut server.connect(), &["KEYS", "*"]);
        let before = millis();
        let left: u64 = query(&mut server.connect(), &["PTTL", &keys[0]]);
        let after = millis();
        let whole = answer.decision.status.reset.as_millis() as u64;
        let earliest = (asked + whole).saturating_sub(after);
        let expected = earliest..=answered + whole + 5 - before;
        assert!(
            expected.contains(&left),
            "{rule:?}: {left}, and not {expected:?}"
        );
    }

    let () = query(&mut server.connect(), &["FLUSHALL"]);
    let answer = ask(&store, Rule::TokenBucket(&quotas), Act::Take(1))
        .await
        .unwrap();
    assert_eq!(
        answer.decision.status.quota, 1,
        "the one that needs longest"
    );
    let keys: Vec<String> = query(&mut server.connect(), &["KEYS", "*"]);
    let left: u64 = query(&mut server.connect(), &["PTTL", &keys[0]]);
    assert!(left > 60_000, "{left} ms");
}

#[tokio::test]
async fn a_key_expires_whatever_was_done_to_it_last() {
    let server = RedisServer::start();
    let store = store(&server);
    let quotas = Quota::per_hour(10).debt(5).into();
    let mut connection = server.connect();

    for rule in rules(&quotas) {
        let () = query(&mut connection, &["FLUSHALL"]);
        ask(&store, rule, Act::Take(1)).await.unwrap();
        let keys: Vec<String> = query(&mut connection, &["KEYS", "*"]);
        for act in [
            Act::Charge(8),
            Act::GiveBack(2),
            Act::Take(u64::MAX),
            Act::TakeUpTo(1),
            Act::Charge(u64::MAX),
            Act::Peek(1),
            Act::Leave { cost: 1, turn: 0 },
            Act::GiveBack(1),
        ] {
            ask(&store, rule, act).await.unwrap();
            let left: i64 = query(&mut connection, &["PTTL", &keys[0]]);
            assert!(left > 0, "{rule:?}, {act:?}: {left}");
        }
    }
}

#[tokio::test]
async fn what_is_given_back_leaves_nothing_behind() {
    let server = RedisServer::start();
    let store = store(&server);
    let quotas = Quota::per_hour(10).into();

    for rule in rules(&quotas) {
        assert_eq!(ask(&store, rule, Act::Take(1)).await.unwrap().taken, 1);
        let answer = ask(&store, rule, Act::GiveBack(5)).await.unwrap();
        assert!(answer.decision.admitted);
    }

    let keys: usize = query(&mut server.connect(), &["DBSIZE"]);
    assert_eq!(keys, 0);
}

#[tokio::test]
async fn a_value_of_another_kind_or_that_is_spoilt_is_told_from_a_failure() {
    let server = RedisServer::start();
    let store = store(&server);
    let quotas = Quota::per_minute(10).into();

    for rule in rules(&quotas) {
        let mut connection = server.connect();
        let () = query(&mut connection, &["FLUSHALL"]);
        ask(&store, rule, Act::Take(1)).await.unwrap();
        let keys: Vec<String> = query(&mut connection, &["KEYS", "*"]);
        let key = keys[0].as_str();
        let is_log = key.ends_with(":log");
        let spoilt = if is_log {
            ["HSET", key, "60000000:0", "nonsense"].to_vec()
        } else {
            ["SET", key, "nonsense"].to_vec()
        };
        let _: redis::Value = query(&mut connection, &spoilt);
        let error = ask(&store, rule, Act::Take(1)).await.unwrap_err();
        assert!(matches!(error, Error::Foreign(_)), "{rule:?}: {error:?}");

        let () = query(&mut connection, &["DEL", key]);
        let _: redis::Value = query(&mut connection, &["RPUSH", key, "nonsense"]);
        for _ in 0..10 {
            let error = ask(&store, rule, Act::Take(1)).await.unwrap_err();
            assert!(matches!(error, Error::Foreign(_)), "{rule:?}: {error:?}");
        }
    }
    assert_eq!(store.breaker().state(), State::Closed);
}

#[tokio::test]
async fn policies_of_whatever_name_have_quotas_of_their_own() {
    let server = RedisServer::start();
    let store = store(&server);
    let quotas = Quota::per_hour(10).into();
    let long = "a".repeat(1_000);
    let names = [
        "",
        "{",
        "}",
        "a}b",
        "a{b}c",
        "a b\r\nc",
        "\u{e9}\u{1f6a2}",
        &long,
    ];

    for left in [9, 8] {
        for name in names {
            let order = Order {
                policy: Name::new(name),
                key: None,
                rule: Rule::TokenBucket(&quotas),
                act: Act::Take(1),
                patience: Duration::ZERO,
                timeout: Duration::from_secs(10),
            };
            assert_eq!(
                remaining(&store.ask(&order).await.unwrap()),
                left,
                "{name:?}"
            );
        }
    }

    let keys: usize = query(&mut server.connect(), &["DBSIZE"]);
    assert_eq!(keys, names.len());
}
