//! A client that obeys servers, from outside: mock services, paused time.

use std::time::Duration;

use http::{Request, Response};
use tokio::time::{Instant, advance};
use tokio_test::task::Spawn;
use tokio_test::{assert_pending, assert_ready_err, assert_ready_ok, task};
use tower::layer::util::Identity;
use tower::{BoxError, Layer, Service, ServiceExt, service_fn};
use tower_test::mock;
use watertight_core::{Context, Key, Mode, Reason, Rejection};
use watertight_http::{
    ByHost, LegacyReset, ObeyServer, ObeyServerBuilder, ObeyServerConfig, ObeyServerExt,
    ObeyServerHandle, ObeyServerLayer,
};
use watertight_metrics::Registry;

type Mock = mock::Mock<Request<()>, Response<()>>;
type Client = mock::Spawn<ObeyServer<Mock>>;
type Server = mock::Handle<Request<()>, Response<()>>;
type Call = Spawn<<ObeyServer<Mock> as Service<Request<()>>>::Future>;

const SECOND: Duration = Duration::from_secs(1);

fn builder() -> ObeyServerBuilder {
    ObeyServerLayer::builder("api").registry(&Registry::new())
}

fn spawn(layer: &ObeyServerLayer) -> (Client, Server) {
    mock::spawn_layer(layer.clone())
}

fn request(host: &str) -> Request<()> {
    let uri = format!("http://{host}/");
    Request::builder().uri(uri).body(()).unwrap()
}

fn call(client: &mut Client) -> Call {
    call_to(client, "a.example")
}

fn call_to(client: &mut Client, host: &str) -> Call {
    assert_ready_ok!(client.poll_ready());
    task::spawn(client.call(request(host)))
}

fn answer(status: u16, lines: &[(&'static str, &str)]) -> Response<()> {
    let mut response = Response::builder().status(status).body(()).unwrap();
    for (name, value) in lines {
        response.headers_mut().append(*name, value.parse().unwrap());
    }
    response
}

/// Makes a call that is answered so.
async fn told(client: &mut Client, server: &mut Server, said: Response<()>) {
    let mut call = call(client);
    assert_pending!(call.poll());
    server.next_request().await.unwrap().1.send_response(said);
    assert_ready_ok!(call.poll());
}

async fn held(client: &mut Client, server: &mut Server, seconds: &str) {
    told(client, server, answer(429, &[("retry-after", seconds)])).await;
}

fn refusal(call: &mut Call) -> Rejection {
    let error = assert_ready_err!(call.poll());
    Rejection::find(&*error).unwrap().clone()
}

async fn has_request(server: &mut Server) -> mock::SendResponse<Response<()>> {
    let (_, response) = server.next_request().await.unwrap();
    response
}

#[tokio::test(start_paused = true)]
async fn a_call_waits_for_as_long_as_it_was_asked_to() {
    let layer = builder().build();
    let (mut client, mut server) = spawn(&layer);
    held(&mut client, &mut server, "3").await;

    let mut waits = call(&mut client);
    assert_pending!(waits.poll());
    assert_eq!(layer.handle().snapshot().waiting, 1);
    advance(3 * SECOND - Duration::from_millis(1)).await;
    assert_pending!(waits.poll());
    assert_pending!(server.poll_request());

    advance(Duration::from_millis(1)).await;
    assert!(waits.is_woken());
    assert_pending!(waits.poll());
    has_request(&mut server)
        .await
        .send_response(answer(200, &[]));
    assert_ready_ok!(waits.poll());

    let look = layer.handle().snapshot();
    assert_eq!((look.waiting, look.delayed, look.refused), (0, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn one_call_goes_ahead_and_the_others_follow_its_answer_in_order() {
    let (mut client, mut server) = spawn(&builder().build());
    held(&mut client, &mut server, "1").await;
    let mut calls = [(); 3].map(|()| call(&mut client));
    for call in &mut calls {
        assert_pending!(call.poll());
    }

    advance(SECOND).await;
    for call in calls.iter_mut().rev() {
        assert_pending!(call.poll());
    }
    let ahead = has_request(&mut server).await;
    assert_pending!(server.poll_request(), "one alone goes ahead");

    // There is room for one of the two.
    ahead.send_response(answer(200, &[("ratelimit", r#""a";r=1;t=5"#)]));
    let [first, second, third] = &mut calls;
    assert_ready_ok!(first.poll());
    assert!(second.is_woken() && !third.is_woken());
    assert_pending!(second.poll());
    assert_pending!(third.poll());
    has_request(&mut server).await;
    assert_pending!(server.poll_request());
}

#[tokio::test(start_paused = true)]
async fn a_call_that_would_wait_too_long_is_refused_at_once() {
    let layer = builder().max_wait(3 * SECOND).build();
    let (mut client, mut server) = spawn(&layer);
    held(&mut client, &mut server, "4").await;

    let rejection = refusal(&mut call(&mut client));

    assert_eq!(rejection.reason(), Reason::RateLimited);
    assert_eq!(rejection.name(), "api");
    assert_eq!(rejection.retry_after(), Some(4 * SECOND));
    assert_eq!(layer.handle().snapshot().refused, 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_would_come_after_its_deadline_is_refused_at_once() {
    let (mut client, mut server) = spawn(&builder().build());
    held(&mut client, &mut server, "4").await;
    let deadline = |seconds| Context {
        deadline: Some(Instant::now() + seconds * SECOND),
        ..Context::default()
    };

    let mut late = deadline(3).enter(|| call(&mut client));
    let mut in_time = deadline(4).enter(|| call(&mut client));

    assert_eq!(refusal(&mut late).retry_after(), Some(4 * SECOND));
    assert_pending!(in_time.poll());
}

#[tokio::test(start_paused = true)]
async fn a_deadline_far_away_lets_no_call_wait_longer() {
    let (mut client, mut server) = spawn(&builder().max_wait(3 * SECOND).build());
    held(&mut client, &mut server, "4").await;
    let patient = Context {
        deadline: Some(Instant::now() + 60 * SECOND),
        ..Context::default()
    };

    let mut waits = patient.enter(|| call(&mut client));

    assert_eq!(refusal(&mut waits).retry_after(), Some(4 * SECOND));
}

#[tokio::test(start_paused = true)]
async fn nobody_overtakes_a_call_that_has_not_seen_yet_that_it_may_start() {
    let (mut client, mut server) = spawn(&builder().build());
    held(&mut client, &mut server, "1").await;
    let mut first = call(&mut client);
    assert_pending!(first.poll());

    advance(SECOND).await;
    let mut second = call(&mut client);
    assert_pending!(second.poll());
    assert_pending!(server.poll_request());

    assert_pending!(first.poll());
    has_request(&mut server)
        .await
        .send_response(answer(200, &[]));
    assert_ready_ok!(first.poll());
}

#[tokio::test(start_paused = true)]
async fn a_service_that_fails_to_be_ready_after_the_wait_is_a_failure() {
    let registry = Registry::new();
    let layer = ObeyServerLayer::builder("api").registry(&registry).build();
    let (mut client, mut server) = spawn(&layer);
    held(&mut client, &mut server, "1").await;
    let mut waits = call(&mut client);
    assert_pending!(waits.poll());

    server.send_error("gone");
    advance(SECOND).await;

    let error = assert_ready_err!(waits.poll());
    assert!(Rejection::find(&*error).is_none());
    let calls = registry.snapshot().instances[0].calls;
    // The first is the refusal that made it wait.
    assert_eq!((calls.failure, calls.cancelled), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_grows_too_long_is_refused_when_that_is_known() {
    let (mut client, mut server) = spawn(&builder().max_wait(5 * SECOND).build());
    held(&mut client, &mut server, "1").await;
    let mut calls = [(); 2].map(|()| call(&mut client));
    let [ahead, behind] = &mut calls;
    assert_pending!(ahead.poll());
    assert_pending!(behind.poll());

    advance(SECOND).await;
    assert_pending!(ahead.poll());
    let response = has_request(&mut server).await;
    assert_pending!(behind.poll());
    response.send_response(answer(429, &[("retry-after", "60")]));
    assert_eq!(assert_ready_ok!(ahead.poll()).status(), 429);

    assert!(behind.is_woken());
    assert_eq!(refusal(behind).retry_after(), Some(60 * SECOND));
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_longer_than_allowed_for_one_that_went_ahead() {
    let layer = builder().max_wait(5 * SECOND).build();
    let (mut client, mut server) = spawn(&layer);
    held(&mut client, &mut server, "1").await;
    let mut ahead = call(&mut client);
    let mut behind = call(&mut client);
    assert_pending!(ahead.poll());
    assert_pending!(behind.poll());
    advance(SECOND).await;
    assert_pending!(ahead.poll());
    assert_pending!(behind.poll());

    advance(4 * SECOND).await;

    assert!(behind.is_woken());
    assert_eq!(refusal(&mut behind).retry_after(), None);
    assert_eq!(layer.handle().snapshot().waiting, 0);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_while_it_waits_was_none() {
    let layer = builder().build();
    let (mut client, mut server) = spawn(&layer);
    held(&mut client, &mut server, "1").await;
    let mut dropped = call(&mut client);
    let mut unpolled = call(&mut client);
    let mut next = call(&mut client);
    assert_pending!(dropped.poll());
    assert_pending!(next.poll());

    drop(dropped);
    drop(std::mem::replace(&mut unpolled, call(&mut client)));
    assert_eq!(layer.handle().snapshot().waiting, 2);
    advance(SECOND).await;

    assert!(next.is_woken());
    assert_pending!(next.poll());
    has_request(&mut server).await;
}

#[tokio::test(start_paused = true)]
async fn who_goes_ahead_and_is_dropped_leaves_it_to_the_next() {
    let (mut client, mut server) = spawn(&builder().build());
    held(&mut client, &mut server, "1").await;
    let mut ahead = call(&mut client);
    let mut behind = call(&mut client);
    assert_pending!(ahead.poll());
    assert_pending!(behind.poll());
    advance(SECOND).await;
    assert_pending!(ahead.poll());
    let _lost = has_request(&mut server).await;
    assert_pending!(behind.poll());

    drop(ahead);

    assert!(behind.is_woken());
    assert_pending!(behind.poll());
    has_request(&mut server).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_left_is_spread_over_its_time() {
    let (mut client, mut server) = spawn(&builder().build());
    let said = answer(
        200,
        &[
            ("ratelimit", r#""a";r=5;t=10"#),
            ("ratelimit-policy", r#""a";q=10;w=10"#),
        ],
    );
    told(&mut client, &mut server, said).await;
    let mut calls: Vec<_> = (0..4).map(|_| call(&mut client)).collect();

    for seconds in [0, 2, 4, 6] {
        assert_eq!(seconds, 2 * (4 - calls.len()) as u64);
        let mut first = calls.remove(0);
        assert_pending!(first.poll());
        has_request(&mut server).await;
        for call in &mut calls {
            assert_pending!(call.poll());
        }
        assert_pending!(server.poll_request());
        // Nobody learns anything new.
        std::mem::forget(first);
        advance(2 * SECOND).await;
    }
}

#[tokio::test(start_paused = true)]
async fn servers_are_told_apart() {
    let layer = builder().build();
    let (mut client, mut server) = spawn(&layer);
    held(&mut client, &mut server, "9").await;

    assert_pending!(call(&mut client).poll());
    let mut other = call_to(&mut client, "b.example");
    assert_pending!(other.poll());
    has_request(&mut server).await;

    let closed_for = |host: &str| {
        let key = ByHost::key_of(request(host).uri());
        layer.handle().closed_for(key)
    };
    assert_eq!(closed_for("a.example"), Some(9 * SECOND));
    assert_eq!(closed_for("b.example"), Some(Duration::ZERO));
    assert_eq!(closed_for("c.example"), Some(Duration::ZERO));
    assert_eq!(layer.handle().snapshot().servers, 2);
}

#[tokio::test(start_paused = true)]
async fn a_key_of_ones_own_tells_them_apart_otherwise() {
    let layer = builder()
        .key(|request: &Request<()>| request.headers().get("account").map(|_| Key::of("one")))
        .build();
    let inner = service_fn(|_: Request<()>| async {
        Ok::<_, BoxError>(answer(429, &[("retry-after", "9")]))
    });
    let mut client = layer.layer(inner);

    client
        .ready()
        .await
        .unwrap()
        .call(request("a"))
        .await
        .unwrap();

    assert_eq!(layer.handle().closed_for(None), Some(9 * SECOND));
    assert_eq!(
        layer.handle().closed_for(Key::of("one")),
        Some(Duration::ZERO)
    );
}

#[tokio::test(start_paused = true)]
async fn no_more_wait_than_there_is_room_for() {
    let (mut client, mut server) = spawn(&builder().max_waiting(2).build());
    held(&mut client, &mut server, "1").await;
    let mut waiting = [(); 2].map(|()| call(&mut client));

    assert_eq!(refusal(&mut call(&mut client)).retry_after(), Some(SECOND));

    for call in &mut waiting {
        assert_pending!(call.poll());
    }
    drop(waiting);
    assert_pending!(call(&mut client).poll());
}

#[tokio::test(start_paused = true)]
async fn in_shadow_a_call_goes_at_once_and_is_counted() {
    let layer = builder().mode(Mode::Shadow).build();
    let (mut client, mut server) = spawn(&layer);
    held(&mut client, &mut server, "9").await;

    let mut passes = call(&mut client);
    assert_pending!(passes.poll());
    has_request(&mut server)
        .await
        .send_response(answer(200, &[]));
    assert_ready_ok!(passes.poll());

    let look = layer.handle().snapshot();
    assert_eq!((look.refused, look.refused_in_shadow), (0, 1));
    layer.handle().set_mode(Mode::Enforce);
    assert_pending!(call(&mut client).poll());
}

#[tokio::test(start_paused = true)]
async fn a_layer_that_is_off_reads_nothing() {
    let layer = builder().mode(Mode::Off).build();
    let (mut client, mut server) = spawn(&layer);
    held(&mut client, &mut server, "9").await;

    layer.handle().set_mode(Mode::Enforce);
    let mut passes = call(&mut client);
    assert_pending!(passes.poll());
    has_request(&mut server).await;

    assert_eq!(layer.handle().snapshot().servers, 1);
}

#[tokio::test(start_paused = true)]
async fn a_waiting_call_leaves_the_ready_instance_and_takes_no_place_below() {
    let (mut client, mut server) = spawn(&builder().build());
    held(&mut client, &mut server, "1").await;
    let mut waits = call(&mut client);
    assert_pending!(waits.poll());

    // What was ready is there still, and its clone is driven only when its turn has come.
    server.allow(0);
    assert_ready_ok!(client.poll_ready());
    advance(SECOND).await;
    assert_pending!(waits.poll());
    assert_pending!(server.poll_request());

    server.allow(1);
    assert!(waits.is_woken());
    assert_pending!(waits.poll());
    has_request(&mut server).await;
}

#[tokio::test(start_paused = true)]
async fn errors_pass_and_say_nothing() {
    let (mut client, mut server) = spawn(&builder().build());
    let mut fails = call(&mut client);
    assert_pending!(fails.poll());

    has_request(&mut server)
        .await
        .send_error("connection reset");

    assert_eq!(
        assert_ready_err!(fails.poll()).to_string(),
        "connection reset"
    );
    assert_pending!(call(&mut client).poll());
    has_request(&mut server).await;
}

#[tokio::test(start_paused = true)]
async fn older_headers_are_read_as_they_are_said_to_be_meant() {
    let said = || {
        let lines = [("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "4")];
        answer(200, &lines)
    };
    let plain = builder().build();
    let (mut client, mut server) = spawn(&plain);
    told(&mut client, &mut server, said()).await;
    assert_pending!(call(&mut client).poll());
    has_request(&mut server).await;

    let legacy = builder()
        .legacy(LegacyReset::Seconds)
        .max_wait(SECOND)
        .build();
    let (mut client, mut server) = spawn(&legacy);
    told(&mut client, &mut server, said()).await;
    assert_eq!(
        refusal(&mut call(&mut client)).retry_after(),
        Some(4 * SECOND)
    );
}

#[tokio::test(start_paused = true)]
async fn a_handle_finds_changes_and_forgets() {
    let registry = Registry::new();
    let layer = ObeyServerLayer::builder("api").registry(&registry).build();
    let handle: ObeyServerHandle = registry.find("api").unwrap();
    let (mut client, mut server) = spawn(&layer);
    held(&mut client, &mut server, "9").await;
    let mut waits = call(&mut client);
    assert_pending!(waits.poll());

    let impatient = ObeyServerConfig {
        max_wait: SECOND,
        ..handle.config()
    };
    handle.reconfigure(impatient).unwrap();
    let invalid = ObeyServerConfig {
        max_servers: 0,
        ..impatient
    };
    assert!(handle.reconfigure(invalid).is_err());
    assert_eq!(handle.config(), impatient);
    assert_eq!(
        refusal(&mut call(&mut client)).retry_after(),
        Some(9 * SECOND)
    );

    handle.forget();
    assert!(waits.is_woken());
    assert_pending!(waits.poll());
    has_request(&mut server).await;
}

#[tokio::test(start_paused = true)]
async fn what_was_counted_is_in_the_snapshot_of_the_registry() {
    let registry = Registry::new();
    let layer = ObeyServerLayer::builder("api")
        .max_wait(SECOND)
        .registry(&registry)
        .build();
    let (mut client, mut server) = spawn(&layer);
    told(&mut client, &mut server, answer(200, &[])).await;
    held(&mut client, &mut server, "9").await;
    refusal(&mut call(&mut client));

    let snapshot = registry.snapshot();

    let [api] = &snapshot.instances[..] else {
        panic!("it is one instance");
    };
    assert_eq!((api.kind, api.keys), ("obey_server", Some(1)));
    let calls = api.calls;
    assert_eq!((calls.success, calls.failure, calls.rejected), (1, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn one_word_puts_it_below_a_layer() {
    let inner = service_fn(|_: Request<()>| async {
        Ok::<_, BoxError>(answer(503, &[("retry-after", "60")]))
    });
    let mut client = Identity::new().obey_server("api").layer(inner);

    client
        .ready()
        .await
        .unwrap()
        .call(request("a"))
        .await
        .unwrap();

    let error = client.ready().await.unwrap().call(request("a")).await;
    assert!(Rejection::find(&*error.unwrap_err()).is_some());
}
