//! What answers say of the limit.

use http::{Request, Response};
use tower::{BoxError, Layer, ServiceExt, service_fn};
use watertight_core::{Mode, Note, QuotaStatus, SetNotes};
use watertight_http::HttpExt;
use watertight_ratelimit::{Quota, Quotas, RateLimitBuilder, TokenBucket};

use crate::stage::{Echo, MS, SECOND, bucket, call};

/// Writes on an answer what is noted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Written;

type Answer = Option<(&'static str, QuotaStatus)>;

impl Note<Answer, QuotaStatus> for Written {
    fn note(&self, answer: &mut Answer, quota: QuotaStatus) {
        *answer = Some((quota.policy.as_str(), quota));
    }
}

fn noted(builder: RateLimitBuilder<TokenBucket>) -> Answer {
    let mut api = builder.set_notes(Written).build().layer(Echo);
    call(&mut api, None::<(&str, QuotaStatus)>).unwrap()
}

/// A limit that says how it stands.
fn loud(quotas: impl Into<Quotas>) -> RateLimitBuilder<TokenBucket> {
    bucket(quotas).announce(true)
}

#[tokio::test(start_paused = true)]
async fn an_answer_says_how_much_is_left() {
    let (policy, quota) = noted(loud(Quota::per_second(10))).unwrap();

    assert_eq!(policy, "api");
    assert_eq!((quota.limit, quota.remaining), (10, 9));
    assert_eq!((quota.reset, quota.window), (100 * MS, SECOND));
}

#[tokio::test(start_paused = true)]
async fn of_several_quotas_it_says_the_one_that_has_least_left() {
    let builder = loud(Quota::per_second(10)).and(Quota::per_hour(5));
    assert_eq!(noted(builder).unwrap().0, "api/2");

    let builder = loud(Quota::per_second(10)).total(Quota::per_second(3));
    assert_eq!(noted(builder).unwrap().0, "api/total");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_said_unless_that_is_set_and_enforced() {
    assert_eq!(noted(bucket(Quota::per_second(10))), None);
    for mode in [Mode::Shadow, Mode::Off] {
        assert_eq!(noted(loud(Quota::per_second(10)).mode(mode)), None);
    }
}

#[tokio::test(start_paused = true)]
async fn over_http_an_answer_says_it_in_its_headers() {
    let layer = loud(Quota::per_second(5)).http().build();
    let service = layer.layer(service_fn(|_: Request<()>| async {
        Ok::<_, BoxError>(Response::new(()))
    }));

    let response = service.oneshot(Request::new(())).await.unwrap();

    // The name is one that tells nothing.
    let (limit, policy) = (r#""d411a36d";r=4;t=1"#, r#""d411a36d";q=5;w=1"#);
    assert_eq!(response.headers()["ratelimit"], limit);
    assert_eq!(response.headers()["ratelimit-policy"], policy);
}
