//! Many processes, and one limit.

mod harness;

use std::env;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use redis::{Client, Connection};
use watertight_core::{Key, Name};
use watertight_metrics::Registry;
use watertight_ratelimit::store::{Act, Order, Rule, Store};
use watertight_ratelimit::{Quota, Quotas, SlidingWindow};
use watertight_redis::{RedisConfig, RedisStore};

use harness::{RedisServer, query};

/// Where a process of the test finds what it is to do.
const URL: &str = "WATERTIGHT_TEST_REDIS";

const PROCESSES: u64 = 4;

/// As long as the limits are asked for, in microseconds by the clock of Redis.
const LASTING: u64 = 5_000_000;

const PER_SECOND: u64 = 500;
const BURST: u64 = 200;

fn quotas() -> [Quotas; 2] {
    [
        Quota::per_second(PER_SECOND).burst(BURST),
        Quota::per_second(PER_SECOND),
    ]
    .map(Quotas::from)
}

/// The time of Redis, in microseconds.
fn time(connection: &mut Connection) -> u64 {
    let (seconds, micros): (u64, u64) = query(connection, &["TIME"]);
    seconds * 1_000_000 + micros
}

/// Asks for both limits as often as it can until the time is over, and returns how often each let it
/// pass.
async fn take_as_much_as_there_is(url: &str) -> [u64; 2] {
    let client = Client::open(url).expect("a valid address");
    let mut connection = client.get_connection().expect("a connection");
    let store = RedisStore::builder("limits", url)
        .config(RedisConfig {
            connection_timeout: Duration::from_secs(10),
            response_timeout: Duration::from_secs(10),
            ..RedisConfig::default()
        })
        .registry(&Registry::new())
        .build();
    let quotas = quotas();
    let rules = [
        Rule::TokenBucket(&quotas[0]),
        Rule::SlidingWindow(&quotas[1], SlidingWindow::Exact),
    ];
    let end = time(&mut connection) + LASTING;
    let mut passed = [0; 2];
    while time(&mut connection) < end {
        for _ in 0..20 {
            for (rule, passed) in rules.iter().zip(&mut passed) {
                let order = Order {
                    policy: Name::new("api"),
                    key: Some(Key::of("acme")),
                    rule: *rule,
                    act: Act::Take(1),
                    patience: Duration::ZERO,
                };
                // A busy machine may be too slow for the breaker: then it was not let pass.
                let answer = store.ask(&order).await;
                *passed += answer.map_or(0, |answer| answer.taken);
            }
        }
    }
    passed
}

fn start_process(url: &str) -> Child {
    let program = env::current_exe().expect("the program");
    let mut command = Command::new(program);
    command
        .args(["--exact", "processes_share_one_limit", "--nocapture"])
        .env(URL, url)
        .stdout(Stdio::piped());
    command.spawn().expect("a process")
}

/// Reads what a process says it took.
fn passed(process: Child) -> [u64; 2] {
    let output = process.wait_with_output().expect("its end");
    assert!(output.status.success());
    let said = String::from_utf8_lossy(&output.stdout);
    let (_, said) = said.split_once("passed ").expect("what passed");
    let mut numbers = said
        .split_whitespace()
        .map(|word| word.parse().expect("a number"));
    [(); 2].map(|()| numbers.next().expect("two numbers"))
}

#[tokio::test]
async fn processes_share_one_limit() {
    if let Ok(url) = env::var(URL) {
        let [bucket, window] = take_as_much_as_there_is(&url).await;
        println!("passed {bucket} {window}");
        return;
    }
    let server = RedisServer::start();
    let mut connection = server.connect();

    let start = time(&mut connection);
    let processes: Vec<_> = (0..PROCESSES)
        .map(|_| start_process(&server.url()))
        .collect();
    let passed: Vec<_> = processes.into_iter().map(passed).collect();
    let lasted = time(&mut connection) - start;

    assert!(
        passed.iter().flatten().all(|passed| *passed > 0),
        "{passed:?}"
    );
    let [bucket, window] = [0, 1].map(|way| passed.iter().map(|passed| passed[way]).sum::<u64>());
    let come = PER_SECOND * lasted / 1_000_000;
    assert!(bucket <= come + BURST, "{bucket} passed in {lasted} us");
    let periods = lasted.div_ceil(1_000_000);
    assert!(
        window <= PER_SECOND * periods,
        "{window} passed in {lasted} us"
    );
    // All that comes in one period may have been missed before the first asked, or after the last.
    let least = PER_SECOND * (LASTING / 1_000_000 - 1);
    assert!(
        bucket >= least && window >= least,
        "{bucket}, {window} in {lasted} us"
    );
}
