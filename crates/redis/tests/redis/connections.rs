//! When the connection is made, and made anew.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::poll_immediate;
use redis::Connection;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time;
use watertight_redis::Error;

use crate::harness::{RedisServer, query};
use crate::stage::{PATIENT, builder, store, take};

/// Returns how many connections were made to a server, this one among them.
fn connections(by_hand: &mut Connection) -> u64 {
    let said: String = query(by_hand, &["INFO", "stats"]);
    let said = said.split_once("total_connections_received:");
    let (_, said) = said.expect("what is asked for");
    let number = said.lines().next().expect("its number");
    number.parse().expect("a number")
}

async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("its address");
    let url = format!("redis://{address}");
    (listener, url)
}

/// The name may stand for another server by now, which is the master.
#[tokio::test]
async fn a_master_that_has_become_a_replica_is_hung_up_on() {
    let server = RedisServer::start();
    let store = store(&server);
    take(&store).await.unwrap();
    let mut by_hand = server.connect();

    let () = query(&mut by_hand, &["REPLICAOF", "127.0.0.1", "1"]);
    let before = connections(&mut by_hand);
    let error = take(&store).await.unwrap_err();
    assert!(matches!(error, Error::Refused(_)), "{error:?}");
    take(&store).await.unwrap_err();

    assert_eq!(connections(&mut by_hand), before + 1);
}

#[tokio::test]
async fn who_finds_out_late_that_a_connection_is_lost_leaves_the_next_one_alone() {
    let mut server = RedisServer::start();
    let store = store(&server);
    take(&store).await.unwrap();
    server.freeze();
    let (mut early, mut late) = (Box::pin(take(&store)), Box::pin(take(&store)));
    assert!(poll_immediate(&mut early).await.is_none());
    assert!(poll_immediate(&mut late).await.is_none());

    server.kill();
    server.restart();
    early.await.unwrap_err();
    take(&store).await.unwrap();
    let mut by_hand = server.connect();
    let before = connections(&mut by_hand);
    late.await.unwrap_err();
    take(&store).await.unwrap();

    assert_eq!(connections(&mut by_hand), before);
}

#[tokio::test]
async fn a_connection_is_made_also_while_nobody_waits_for_it() {
    let (listener, url) = listen().await;
    let store = builder(url).build();

    let mut given_up = Box::pin(take(&store));
    assert!(poll_immediate(&mut given_up).await.is_none());
    drop(given_up);

    let is_greeted = async {
        let (mut connection, _) = listener.accept().await.unwrap();
        connection.read(&mut [0; 64]).await.unwrap() > 0
    };
    assert_eq!(time::timeout(PATIENT, is_greeted).await, Ok(true));
}

/// Says yes to what a client says of itself when it connects, and nothing to an order.
async fn never_answer(mut connection: TcpStream) {
    let mut said = [0; 4_096];
    while let Ok(read @ 1..) = connection.read(&mut said).await {
        let said = String::from_utf8_lossy(&said[..read]);
        let commands = said.matches("CLIENT").count();
        if connection
            .write_all(&b"+OK\r\n".repeat(commands))
            .await
            .is_err()
        {
            return;
        }
    }
}

#[tokio::test]
async fn a_connection_on_which_nothing_is_heard_any_more_is_made_anew() {
    let (listener, url) = listen().await;
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(never_answer(connection));
        }
    });
    let store = builder(url).build();
    let give_up = async || {
        store.breaker().reset();
        let asking = time::timeout(Duration::from_millis(20), take(&store));
        assert!(asking.await.is_err());
    };

    for _ in 0..5 {
        give_up().await;
    }
    assert_eq!(connections.load(Ordering::Relaxed), 1);

    give_up().await;
    assert_eq!(connections.load(Ordering::Relaxed), 2);
}
