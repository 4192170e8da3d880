//! Other quotas for some calls.

use tower::Layer;
use watertight_core::Key;
use watertight_ratelimit::{Quota, RateLimitBuilder, TokenBucket};

use crate::stage::{Echo, answered, bucket, refusal};

/// A tenant and its plan.
type Request = (&'static str, &'static str);

fn plans() -> RateLimitBuilder<TokenBucket> {
    bucket(Quota::per_second(2))
        .plan("pro", Quota::per_second(20).and(Quota::per_hour(25)))
        .plan("free", Quota::per_second(1))
}

fn key(request: &Request) -> Key {
    Key::of(request.0)
}

fn plan(request: &Request) -> Option<&'static str> {
    Some(request.1)
}

#[tokio::test(start_paused = true)]
async fn calls_have_the_quotas_of_their_plans() {
    let mut api = plans().key(key).plan_by(plan).build().layer(Echo);

    assert_eq!(answered(&mut api, ("acme", "pro"), 100), 20);
    assert_eq!(answered(&mut api, ("globex", "free"), 100), 1);
    assert_eq!(answered(&mut api, ("initech", "pro"), 100), 20);
    let rejection = refusal(&mut api, ("acme", "pro"));
    assert_eq!(rejection.quota().unwrap().policy.as_str(), "api/pro");
}

#[tokio::test(start_paused = true)]
async fn a_plan_that_nobody_has_heard_of_is_none() {
    let mut api = plans().key(key).plan_by(plan).build().layer(Echo);

    assert_eq!(answered(&mut api, ("acme", "platinum"), 100), 2);
}

#[tokio::test(start_paused = true)]
async fn plans_without_keys_are_shared_by_all_calls_on_them() {
    let mut api = plans().plan_by(plan).build().layer(Echo);

    assert_eq!(answered(&mut api, ("acme", "pro"), 15), 15);
    assert_eq!(answered(&mut api, ("globex", "pro"), 15), 5);
}

#[tokio::test(start_paused = true)]
async fn a_call_on_a_plan_costs_what_it_costs_in_either_order() {
    let cost = |_: &Request| 5;

    let mut first = plans().cost(cost).plan_by(plan).build().layer(Echo);
    assert_eq!(answered(&mut first, ("acme", "pro"), 100), 4);
    let mut last = plans().plan_by(plan).cost(cost).build().layer(Echo);
    assert_eq!(answered(&mut last, ("acme", "pro"), 100), 4);
}
