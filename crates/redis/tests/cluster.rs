//! A cluster, of which a slot moves.

mod harness;

use std::time::Duration;

use watertight_core::{Key, Name};
use watertight_metrics::Registry;
use watertight_ratelimit::Quota;
use watertight_ratelimit::store::{Act, Order, Rule, Store};
use watertight_redis::RedisStore;

use harness::{RedisCluster, query};

/// Long enough for any answer of a cluster that is well, on a busy machine.
const PATIENT: Duration = Duration::from_secs(10);

const TENANTS: u64 = 100;

#[tokio::test]
async fn a_cluster_keeps_each_key_on_its_node_also_when_a_slot_moves() {
    let cluster = RedisCluster::start();
    let store = RedisStore::cluster("limits", cluster.urls())
        .registry(&Registry::new())
        .response_timeout(PATIENT)
        .connection_timeout(PATIENT)
        .build();
    let quotas = Quota::per_hour(10).into();
    let take = async |tenant: u64| {
        let order = Order {
            policy: Name::new("api"),
            key: Some(Key::of(tenant)),
            rule: Rule::TokenBucket(&quotas),
            act: Act::Take(1),
            patience: Duration::ZERO,
        };
        store.ask(&order).await.unwrap().decision
    };

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
