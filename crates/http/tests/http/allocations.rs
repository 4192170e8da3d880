//! What a call that succeeds does not cost.

use std::future::{Ready, ready};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use allocation_counter::measure;
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::Full;
use tower::{Service, ServiceBuilder, service_fn};
use watertight_core::{BoxError, Call, Finish, KeyBy, Outcome, Repeat};
use watertight_http::{
    ApiKey, AtBodyEnd, ClientKey, GrpcClassifier, HeaderKey, HttpClassifier, HttpRepeat,
    InboundLayer, PathKey, Peer, PeerKey, RespondLayer, TrustedProxies,
};

struct Uncounted;

impl Call for Uncounted {
    fn head(&mut self, _: &Outcome) {}

    fn end(self, _: Outcome) {}
}

fn hello(_: Request<()>) -> Ready<Result<Response<Full<Bytes>>, BoxError>> {
    ready(Ok(Response::new(Full::new(Bytes::from_static(b"hello")))))
}

/// Reads a body that is all there to its end.
fn read<B: Body<Data = Bytes>>(body: B) {
    let mut body = pin!(body);
    let mut cx = Context::from_waker(Waker::noop());
    while let Poll::Ready(Some(frame)) = body.as_mut().poll_frame(&mut cx) {
        assert!(frame.is_ok());
    }
}

#[test]
fn to_respond_allocates_nothing() {
    let mut service = ServiceBuilder::new()
        .layer(RespondLayer::new())
        .service(service_fn(hello));
    let request = Request::builder().header("content-type", "application/grpc");
    let request = request.body(()).unwrap();

    let info = measure(|| {
        let mut future = pin!(service.call(request));
        let mut cx = Context::from_waker(Waker::noop());
        match future.as_mut().poll(&mut cx) {
            Poll::Ready(Ok(response)) => read(response.into_body()),
            Poll::Pending => unreachable!("the service is ready"),
        }
    });

    assert_eq!(info.count_total, 0);
}

#[test]
fn to_follow_a_body_allocates_nothing() {
    let response = || Response::new(Full::new(Bytes::from_static(b"hello")));
    let classifiers = (HttpClassifier::new().failure([404]), GrpcClassifier::new());

    let info = measure(|| {
        let http = AtBodyEnd.finish(response(), &classifiers.0, Uncounted);
        let grpc = AtBodyEnd.finish(response(), &classifiers.1, Uncounted);
        read(http.into_body());
        drop(grpc);
    });

    assert_eq!(info.count_total, 0);
}

#[test]
fn a_request_that_is_sent_once_allocates_nothing() {
    let repeat = HttpRepeat::new();
    let post = Request::post("/").body(Full::new(Bytes::from_static(b"hello")));
    let post = post.unwrap();

    let info = measure(|| read(repeat.once(post).into_body()));

    assert_eq!(info.count_total, 0);
}

#[test]
fn a_request_without_a_body_is_kept_without_allocating() {
    let repeat = HttpRepeat::new();
    let get = Request::new(Full::<Bytes>::default());

    let info = measure(|| {
        let (sent, kept) = repeat.keep(get);
        assert!(kept.is_some());
        read(sent.into_body());
    });

    assert_eq!(info.count_total, 0);
}

/// One for the body itself, which may not move once it is polled.
#[test]
fn a_body_that_is_all_there_is_kept_with_one_allocation() {
    let repeat = HttpRepeat::all();
    let post = Request::new(Full::new(Bytes::from_static(b"hello")));

    let info = measure(|| {
        let (sent, kept) = repeat.keep(post);
        assert!(kept.is_some());
        read(sent.into_body());
    });

    assert_eq!((info.count_total, info.count_current), (1, 0));
}

#[test]
fn a_call_that_comes_in_allocates_nothing() {
    let mut service = ServiceBuilder::new()
        .layer(InboundLayer::new())
        .service(service_fn(hello));
    let retry = Request::builder().header("x-retry-attempt", "1").body(());
    let requests = [Request::new(()), retry.unwrap()];

    let info = measure(|| {
        for request in requests {
            let mut future = pin!(service.call(request));
            let mut cx = Context::from_waker(Waker::noop());
            match future.as_mut().poll(&mut cx) {
                Poll::Ready(Ok(response)) => read(response.into_body()),
                Poll::Ready(Err(_)) | Poll::Pending => unreachable!("the service is ready"),
            }
        }
    });

    assert_eq!(info.count_total, 0);
}

#[test]
fn to_tell_clients_apart_allocates_nothing() {
    let request = Request::get("/users/7")
        .header("x-forwarded-for", "spoofed, 2001:db8::1, 10.0.0.2:80")
        .header(
            "forwarded",
            r#"for="[2001:db8::1]:80";host="a,b", for=10.0.0.2"#,
        )
        .header("authorization", "Bearer secret")
        .header("x-tenant", "acme");
    let mut request = request.body(()).unwrap();
    let peer = "10.0.0.1:80".parse().unwrap();
    request.extensions_mut().insert(Peer(peer));
    let behind = |proxies| PeerKey::new().behind(proxies);
    let plain = TrustedProxies::x_forwarded_for(["10.0.0.0/8"]).unwrap();
    let forwarded = TrustedProxies::forwarded(["10.0.0.0/8"]).unwrap();
    let key = behind(plain)
        .and(behind(forwarded))
        .and(PathKey::new(["/users", "/users/{id}"]).unwrap())
        .and(HeaderKey::new(http::HeaderName::from_static("x-tenant")))
        .and(ApiKey::x_api_key().or(ApiKey::bearer()));

    let mut found = None;
    let info = measure(|| found = key.key(&request));

    assert!(found.is_some());
    assert_eq!(info.count_total, 0);
}
