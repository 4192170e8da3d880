//! Many processes, and one limit.

use std::env;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use redis::{Client, Connection};
use watertight_breaker::BreakerConfig;
use watertight_core::{Key, Name};
use watertight_metrics::Registry;
use watertight_ratelimit::store::{Act, Leased, Order, Rule, Store};
use watertight_ratelimit::{Quota, Quotas, SlidingWindow};
use watertight_redis::{RedisConfig, RedisStore};

use crate::harness::{RedisServer, query};

/// Where a process of a test finds the server that it is to ask, and the one whose clock it goes by.
const SERVERS: &str = "WATERTIGHT_TEST_SERVERS";

const PROCESSES: u64 = 4;

const SECOND: u64 = 1_000_000;

/// As long as the limits are asked for, in microseconds by the clock of Redis.
const LASTING: u64 = 5 * SECOND;

/// Where the server with the clock keeps the time from which on what passes is counted by itself too.
const LATE: &str = "late";

/// As long as they are asked for from then on: a window that let all pass at once does so again
/// within it.
const LASTING_LATE: u64 = 2 * SECOND;

const PER_SECOND: u64 = 500;
const BURST: u64 = 200;
const LEASE: u64 = 10;

/// What passed, by bucket, by window, and by leases from a bucket.
type Passed = [u64; 3];

/// The time of a server, in microseconds.
fn time(clock: &mut Connection) -> u64 {
    let (seconds, micros): (u64, u64) = query(clock, &["TIME"]);
    seconds * SECOND + micros
}

fn connect(url: &str) -> Connection {
    let client = Client::open(url).expect("a valid address");
    client.get_connection().expect("a connection")
}

/// Makes a store that a busy machine is never too slow for.
fn store(url: &str) -> RedisStore {
    let config = RedisConfig {
        connection_timeout: Duration::from_secs(10),
        response_timeout: Duration::from_secs(10),
        breaker: BreakerConfig {
            open_for: Duration::from_millis(100),
            open_backoff: None,
            ..RedisConfig::default().breaker
        },
        ..RedisConfig::default()
    };
    let builder = RedisStore::builder("limits", url).config(config);
    builder.registry(&Registry::new()).build()
}

/// Takes one, if it is there. What cannot be had from a store that fails was not let pass.
async fn take<St: Store>(store: &St, policy: &str, rule: Rule<'_>) -> u64 {
    let order = Order {
        policy: Name::new(policy),
        key: Some(Key::of("acme")),
        rule,
        act: Act::Take(1),
        patience: Duration::ZERO,
        timeout: Duration::from_secs(10),
    };
    let answer = store.ask(&order).await;
    answer.map_or(0, |answer| u64::from(answer.decision.admitted))
}

/// Asks for the limits as often as it can until the time is over. Returns what passed, and what of it
/// was late.
async fn take_what_there_is(url: &str, clock: &str) -> [Passed; 2] {
    let mut clock = connect(clock);
    let store = store(url);
    let leased = Leased::new(store.clone(), LEASE);
    let bucket = Quotas::from(Quota::per_second(PER_SECOND).burst(BURST));
    let window = Quotas::from(Quota::per_second(PER_SECOND));
    let bucket = Rule::TokenBucket(&bucket);
    let window = Rule::SlidingWindow(&window, SlidingWindow::Exact);

    let end = time(&mut clock) + LASTING;
    let mut passed = [Passed::default(); 2];
    loop {
        let late: Option<u64> = query(&mut clock, &["GET", LATE]);
        let end = late.map(|late| end.max(late + LASTING_LATE));
        let now = time(&mut clock);
        if end.is_some_and(|end| now >= end) {
            return passed;
        }
        let here = [
            take(&store, "bucket", bucket).await,
            take(&store, "window", window).await,
            take(&leased, "leased", bucket).await,
        ];
        for (way, here) in here.into_iter().enumerate() {
            passed[0][way] += here;
            passed[1][way] += if late.is_some() { here } else { 0 };
        }
    }
}

/// Does what a process of a test does, if this is one.
async fn is_process_of_a_test() -> bool {
    let Ok(servers) = env::var(SERVERS) else {
        return false;
    };
    let (url, clock) = servers.split_once(' ').expect("two addresses");
    let [passed, late] = take_what_there_is(url, clock).await;
    let numbers = passed.iter().chain(&late).map(u64::to_string);
    println!("passed {}", numbers.collect::<Vec<_>>().join(" "));
    true
}

fn start_processes(test: &str, server: &RedisServer, clock: &RedisServer) -> Vec<Child> {
    let program = env::current_exe().expect("the program");
    let start = |_| {
        let mut command = Command::new(&program);
        command
            .args(["--exact", &format!("processes::{test}"), "--nocapture"])
            .env(SERVERS, format!("{} {}", server.url(), clock.url()))
            .stdout(Stdio::piped());
        command.spawn().expect("a process")
    };
    (0..PROCESSES).map(start).collect()
}

/// Has what passes from now on be counted by itself too.
fn set_late(clock: &mut Connection) {
    let now = time(clock).to_string();
    let () = query(clock, &["SET", LATE, &now]);
}

/// Waits for the processes. Returns what passed in all, and what of it was late.
fn join(processes: Vec<Child>) -> [Passed; 2] {
    let mut sum = [Passed::default(); 2];
    for process in processes {
        let output = process.wait_with_output().expect("its end");
        assert!(output.status.success());
        let said = String::from_utf8_lossy(&output.stdout);
        let (_, said) = said.split_once("passed ").expect("what passed");
        let numbers = said.split_whitespace().map_while(|word| word.parse().ok());
        let numbers: Vec<u64> = numbers.collect();
        assert!(numbers[..3].iter().all(|passed| *passed > 0), "{numbers:?}");
        for (sum, number) in sum.as_flattened_mut().iter_mut().zip(numbers) {
            *sum += number;
        }
    }
    sum
}

#[tokio::test]
async fn processes_share_one_limit() {
    if is_process_of_a_test().await {
        return;
    }
    let server = RedisServer::start();
    let mut clock = server.connect();

    set_late(&mut clock);
    let start = time(&mut clock);
    let processes = start_processes("processes_share_one_limit", &server, &server);
    let [passed, _] = join(processes);
    let lasted = time(&mut clock) - start;

    let come = PER_SECOND * lasted / SECOND;
    let [bucket, window, leased] = passed;
    assert!(bucket <= come + BURST, "{passed:?} in {lasted} us");
    assert!(leased <= come + BURST, "{passed:?} in {lasted} us");
    let periods = lasted.div_ceil(SECOND);
    assert!(window <= PER_SECOND * periods, "{passed:?} in {lasted} us");
    // All that there was passed but that of a second, at the beginning or in a pause of the machine.
    let least = PER_SECOND * (LASTING / SECOND - 1);
    assert!(passed.iter().all(|passed| *passed >= least), "{passed:?}");
}

#[tokio::test]
async fn processes_share_one_limit_while_redis_hangs_and_is_killed() {
    if is_process_of_a_test().await {
        return;
    }
    let (mut server, other) = (RedisServer::start(), RedisServer::start());
    let mut clock = other.connect();
    let start = time(&mut clock);
    let mut wait_until = |after| while time(&mut clock) < start + after {};

    let test = "processes_share_one_limit_while_redis_hangs_and_is_killed";
    let processes = start_processes(test, &server, &other);
    wait_until(SECOND);
    server.freeze();
    wait_until(3 * SECOND / 2);
    server.thaw();
    wait_until(5 * SECOND / 2);
    server.kill();
    server.restart();
    set_late(&mut clock);
    let [passed, late] = join(processes);
    let lasted = time(&mut clock) - start;

    // What it knew is lost, and so what was taken of the burst or the window may be taken once more.
    let come = PER_SECOND * lasted / SECOND;
    let [bucket, window, leased] = passed;
    assert!(bucket <= come + 2 * BURST, "{passed:?} in {lasted} us");
    assert!(leased <= come + 2 * BURST, "{passed:?} in {lasted} us");
    let periods = lasted.div_ceil(SECOND) + 1;
    assert!(window <= PER_SECOND * periods, "{passed:?} in {lasted} us");
    let is_used_again = late.iter().all(|passed| *passed > 0);
    assert!(is_used_again, "{late:?} of {passed:?} in {lasted} us");
}
