//! The shop. It is the same on both sides: which layers its clients and its door have, it does not
//! know.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::{Map, Value};
use watertight::http::HttpClassifier;
use watertight::{BoxError, Classify, FailureKind, Reason, Rejection};

use crate::client::{Client, IDEMPOTENCY_KEY};
use crate::page::Page;

/// Names the parts that a degraded page lacks.
pub(crate) const MISSING: HeaderName = HeaderName::from_static("x-missing");

#[derive(Debug)]
pub(crate) struct Shop {
    pub(crate) inventory: Client,
    pub(crate) payments: Client,
    pub(crate) recommendations: Client,
    pub(crate) reviews: Client,
}

/// Returns the pages of a shop.
pub(crate) fn pages(shop: Shop) -> Router {
    Router::new()
        .route(Page::Product.path(), get(product))
        .route(Page::Checkout.path(), post(checkout))
        .route(Page::Feed.path(), get(feed))
        .with_state(Arc::new(shop))
}

/// Counts what visitors of `pages` are given. The metrics call the shop `name`.
pub(crate) fn counted(name: &'static str, pages: Router) -> Router {
    pages.layer(map_response(move |response| count(name, response)))
}

async fn count(shop: &'static str, response: Response) -> Response {
    let page = if !response.status().is_success() {
        "failed"
    } else if response.headers().contains_key(MISSING) {
        "degraded"
    } else {
        "good"
    };
    metrics::counter!("storefront_pages_total", "shop" => shop, "page" => page).increment(1);
    response
}

/// Without the inventory there is nothing to show; the rest is decoration.
async fn product(State(shop): State<Arc<Shop>>) -> Response {
    let Ok(stock) = shop.inventory.get().await else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    let (recommendations, reviews) = tokio::join!(shop.recommendations.get(), shop.reviews.get());
    Answer::default()
        .part("inventory", Ok(stock))
        .part("recommendations", recommendations)
        .part("reviews", reviews)
        .into_response()
}

/// The visitor says by an `Idempotency-Key` which order it is. It goes along to the payments, so that
/// an order is charged once, however often it is sent.
async fn checkout(State(shop): State<Arc<Shop>>, headers: HeaderMap) -> Response {
    let Ok(stock) = shop.inventory.get().await else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    match shop.payments.post(headers.get(IDEMPOTENCY_KEY)).await {
        Err(error) if !never_sent(&error) => {
            // Nobody knows whether the customer was charged, so the shop must not try again later.
            StatusCode::BAD_GATEWAY.into_response()
        }
        // What never left the shop is charged later: the order is good without it. Should an attempt
        // before the last have arrived, the payments know it by the key.
        payment => Answer::default()
            .part("inventory", Ok(stock))
            .part("payments", payment)
            .into_response(),
    }
}

/// Either half makes a feed.
async fn feed(State(shop): State<Arc<Shop>>) -> Response {
    let (recommendations, reviews) = tokio::join!(shop.recommendations.get(), shop.reviews.get());
    if recommendations.is_err() && reviews.is_err() {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    Answer::default()
        .part("recommendations", recommendations)
        .part("reviews", reviews)
        .into_response()
}

/// Whether the call provably never reached the upstream. One that was ended at its deadline may have.
fn never_sent(error: &BoxError) -> bool {
    let rejection = Rejection::find(&**error);
    if rejection.is_some_and(|it| it.reason() == Reason::DeadlineExceeded) {
        return false;
    }
    let outcome = Classify::<Response>::classify(&HttpClassifier::new(), Err(&**error));
    matches!(
        outcome.as_failure().map(|failure| failure.kind),
        Some(FailureKind::Connect | FailureKind::Rejected)
    )
}

/// A page in the making.
#[derive(Debug, Default)]
struct Answer {
    parts: Map<String, Value>,
    missing: Vec<&'static str>,
}

impl Answer {
    fn part(mut self, name: &'static str, part: Result<Value, BoxError>) -> Self {
        match part {
            Ok(part) => {
                self.parts.insert(name.to_owned(), part);
            }
            Err(_) => self.missing.push(name),
        }
        self
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let page = axum::Json(self.parts);
        if self.missing.is_empty() {
            page.into_response()
        } else {
            ([(MISSING, self.missing.join(","))], page).into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::Request;
    use tower::ServiceExt;
    use watertight::Name;

    use super::*;
    use crate::fault::Fault;
    use crate::protect;
    use crate::upstream::Upstreams;

    async fn visit(upstreams: &Upstreams, page: Page) -> (StatusCode, String) {
        let request = Request::builder()
            .method(page.method())
            .uri(page.path())
            .body(Body::empty())
            .unwrap();
        let shop = pages(protect::bare(upstreams));
        let response = shop.oneshot(request).await.unwrap();
        let missing = response.headers().get(MISSING);
        let missing = missing.map_or("", |names| names.to_str().unwrap());
        (response.status(), missing.to_owned())
    }

    #[tokio::test]
    async fn a_page_is_whole_when_all_upstreams_answer() {
        let upstreams = Upstreams::start().await.unwrap();

        for page in [Page::Product, Page::Checkout, Page::Feed] {
            assert_eq!(
                visit(&upstreams, page).await,
                (StatusCode::OK, String::new())
            );
        }
    }

    #[tokio::test]
    async fn a_page_leaves_out_what_it_can_do_without() {
        let upstreams = Upstreams::start().await.unwrap();
        upstreams.reviews.set_fault(Fault::Errors(100));

        for page in [Page::Product, Page::Feed] {
            assert_eq!(
                visit(&upstreams, page).await,
                (StatusCode::OK, "reviews".to_owned())
            );
        }
    }

    #[tokio::test]
    async fn nothing_is_sold_without_the_inventory_and_a_feed_is_not_empty() {
        let upstreams = Upstreams::start().await.unwrap();
        for upstream in upstreams.all() {
            upstream.set_fault(Fault::Errors(100));
        }

        for page in [Page::Product, Page::Checkout, Page::Feed] {
            assert_eq!(
                visit(&upstreams, page).await.0,
                StatusCode::SERVICE_UNAVAILABLE
            );
        }
    }

    #[tokio::test]
    async fn an_order_is_noted_only_if_the_charge_was_never_sent() {
        let upstreams = Upstreams::start().await.unwrap();

        upstreams.payments.set_fault(Fault::Errors(100));
        assert_eq!(
            visit(&upstreams, Page::Checkout).await.0,
            StatusCode::BAD_GATEWAY
        );

        upstreams.payments.set_fault(Fault::Refuse);
        upstreams.payments.closed().await;
        let noted = (StatusCode::OK, "payments".to_owned());
        assert_eq!(visit(&upstreams, Page::Checkout).await, noted);
    }

    #[test]
    fn a_charge_that_a_layer_refused_was_never_sent_but_for_its_deadline() {
        let refused = |reason| never_sent(&Rejection::new(reason, Name::new("payments")).into());

        assert!(refused(Reason::BulkheadFull));
        assert!(refused(Reason::CircuitOpen));
        assert!(!refused(Reason::TimedOut));
        assert!(!refused(Reason::DeadlineExceeded));
    }
}
