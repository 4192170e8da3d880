//! What becomes of orders when another server takes over, which does not know the scripts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use redis::Connection;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::harness::{RedisServer, follows, query};
use crate::stage::{builder, remaining, take, take_at_last};

/// How often a replica is asked whether it is up to date.
const ASKED: usize = 2_000;

/// Hands connections on to one server, and to another when it is told: what a name or a balancer is
/// elsewhere.
struct Relay {
    port: u16,
    target: Arc<AtomicU16>,
    task: JoinHandle<()>,
}

impl Relay {
    async fn start(target: &RedisServer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("its address").port();
        let target = Arc::new(AtomicU16::new(target.port()));
        let current = Arc::clone(&target);
        let task = tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                tokio::spawn(hand_on(connection, current.load(Ordering::Relaxed)));
            }
        });
        Self { port, target, task }
    }

    fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    fn turn_to(&self, server: &RedisServer) {
        self.target.store(server.port(), Ordering::Relaxed);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn hand_on(mut connection: TcpStream, port: u16) {
    if let Ok(mut server) = TcpStream::connect(("127.0.0.1", port)).await {
        // It ends when one of both does.
        let _ = tokio::io::copy_bidirectional(&mut connection, &mut server).await;
    }
}

fn knows_no_script(connection: &mut Connection) -> bool {
    let said: String = query(connection, &["INFO", "memory"]);
    said.contains("number_of_cached_scripts:0")
}

#[tokio::test]
async fn a_replica_that_is_promoted_goes_on_where_the_master_was() {
    let (mut master, replica) = (RedisServer::start(), RedisServer::start());
    let mut by_hand = replica.connect();
    let port = master.port().to_string();
    let () = query(&mut by_hand, &["REPLICAOF", "127.0.0.1", &port]);
    let is_ready = (0..ASKED).any(|_| follows(&replica));
    assert!(is_ready, "the replica does not follow its master");
    let relay = Relay::start(&master).await;
    let store = builder(relay.url()).build();
    for _ in 0..5 {
        take(&store).await.unwrap();
    }
    // Whoever waits for a write of its own waits for all before it.
    let mut last = master.connect();
    let () = query(&mut last, &["SET", "last", "1"]);
    let heard: u64 = query(&mut last, &["WAIT", "1", "0"]);
    assert_eq!(heard, 1);

    master.kill();
    let () = query(&mut by_hand, &["REPLICAOF", "NO", "ONE"]);
    relay.turn_to(&replica);

    assert!(knows_no_script(&mut by_hand));
    assert_eq!(remaining(&take_at_last(&store).await), 94);
    assert_eq!(remaining(&take(&store).await.unwrap()), 93);
}
