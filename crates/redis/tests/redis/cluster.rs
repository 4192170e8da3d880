//! A cluster, of which a slot moves, a node goes, and a replica takes over.

use std::time::Duration;

use watertight_core::{Key, Name};
use watertight_metrics::Registry;
use watertight_ratelimit::store::{Act, Order, Rule, Store};
use watertight_ratelimit::{Decision, Quota};
use watertight_redis::{Error, RedisConfig, RedisStore};

use crate::harness::{RedisCluster, RedisServer, query};

/// Long enough for any answer of a cluster that is well, on a busy machine.
const PATIENT: Duration = Duration::from_secs(10);

pub(crate) const TENANTS: u64 = 100;

/// How often something is asked for that is to come about.
const TRIES: usize = 3_000;

fn store(cluster: &RedisCluster) -> RedisStore {
    RedisStore::cluster("limits", cluster.urls())
        .registry(&Registry::new())
        .response_timeout(PATIENT)
        .connection_timeout(PATIENT)
        .build()
}

pub(crate) async fn take(store: &RedisStore, tenant: u64) -> Result<Decision, Error> {
    let quotas = Quota::per_hour(10).into();
    let order = Order {
        policy: Name::new("api"),
        key: Some(Key::of(tenant)),
        rule: Rule::TokenBucket(&quotas),
        act: Act::Take(1),
        patience: Duration::ZERO,
        timeout: Duration::from_secs(10),
    };
    store.ask(&order).await.map(|answer| answer.decision)
}

#[tokio::test]
async fn a_cluster_keeps_each_key_on_its_node_also_when_a_slot_moves() {
    let cluster = RedisCluster::start();
    let store = store(&cluster);
    let take = async |tenant| take(&store, tenant).await.unwrap();

    for tenant in 0..TENANTS {
        assert_eq!(take(tenant).await.status.remaining, 9);
    }
    for node in &cluster.nodes {
        let keys: u64 = query(&mut node.connect(), &["DBSIZE"]);
        assert!((1..TENANTS).contains(&keys), "{keys} of {TENANTS} keys");
    }

    let moved = Key::of(7_u64);
    cluster.move_slot_of(&format!("watertight:{{api:{moved}}}:token"));

    for tenant in 0..TENANTS {
        assert_eq!(take(tenant).await.status.remaining, 8, "{tenant}");
    }
    for _ in 0..8 {
        assert!(take(7).await.admitted);
    }
    assert!(!take(7).await.admitted);
}

#[tokio::test]
async fn a_node_that_is_down_fails_for_its_own_keys_alone_until_it_is_back() {
    let mut cluster = RedisCluster::start();
    let store = store(&cluster);
    for tenant in 0..TENANTS {
        take(&store, tenant).await.unwrap();
    }
    let keys: u64 = query(&mut cluster.nodes[0].connect(), &["DBSIZE"]);

    cluster.nodes[0].kill();
    let mut failed = Vec::new();
    for tenant in 0..TENANTS {
        if take(&store, tenant).await.is_err() {
            failed.push(tenant);
        }
    }
    assert_eq!(failed.len() as u64, keys);
    // A row of failures is no reason to ask no other node.
    for _ in 0..=RedisConfig::CONSECUTIVE_FAILURES {
        let error = take(&store, failed[0]).await.unwrap_err();
        assert!(!matches!(error, Error::Open { .. }), "{error:?}");
    }

    cluster.nodes[0].restart();
    let mut answered = 0;
    for tenant in (0..TENANTS).cycle().take(50 * TENANTS as usize) {
        store.breaker().reset();
        answered = if take(&store, tenant).await.is_ok() {
            answered + 1
        } else {
            0
        };
        if answered == TENANTS {
            return;
        }
    }
    panic!("the node is not asked again");
}

#[tokio::test]
async fn a_replica_that_takes_over_goes_on_where_its_master_was() {
    let mut cluster = RedisCluster::start();
    let replica = cluster.start_replica();
    let store = store(&cluster);
    for tenant in 0..TENANTS {
        assert_eq!(take(&store, tenant).await.unwrap().status.remaining, 9);
    }
    let keys = |node: &RedisServer| -> u64 { query(&mut node.connect(), &["DBSIZE"]) };
    let on_master = keys(&cluster.nodes[0]);
    assert!(on_master > 0);
    assert!((0..TRIES).any(|_| keys(&replica) == on_master));

    cluster.nodes[0].kill();
    let () = query(&mut replica.connect(), &["CLUSTER", "FAILOVER", "TAKEOVER"]);

    for tenant in 0..TENANTS {
        assert_eq!(take_at_last(&store, tenant).await.status.remaining, 8);
    }
    let () = query(&mut replica.connect(), &["SCRIPT", "FLUSH"]);
    for tenant in 0..TENANTS {
        assert_eq!(take_at_last(&store, tenant).await.status.remaining, 7);
    }
}

/// Asks until there is an answer: the nodes have to hear of each other first.
async fn take_at_last(store: &RedisStore, tenant: u64) -> Decision {
    let mut last = None;
    for _ in 0..TRIES {
        store.breaker().reset();
        match take(store, tenant).await {
            Ok(decision) => return decision,
            Err(error) => last = Some(error),
        }
    }
    panic!("there is no answer for {tenant}: {last:?}");
}
