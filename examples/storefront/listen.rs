//! Serving HTTP on a loopback port.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use axum::{Extension, Router};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::sleep;
use watertight::http::Peer;

/// How many requests may be in flight on one connection.
pub(crate) const MAX_STREAMS: u32 = 20_000;

/// Takes `port` on 127.0.0.1; 0 stands for a free one.
pub(crate) async fn bind(port: u16) -> Result<TcpListener, String> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    TcpListener::bind(address)
        .await
        .map_err(|error| match error.kind() {
            io::ErrorKind::AddrInUse => {
                format!("port {port} is taken on 127.0.0.1: choose another with --port N")
            }
            _ => format!("cannot listen on {address}: {error}"),
        })
}

/// Serves `app` by HTTP/1 and HTTP/2, and tells it who is connected. Dropping the future closes all of its connections.
pub(crate) async fn serve(listener: &TcpListener, app: &Router) -> Infallible {
    let mut connections = JoinSet::new();
    loop {
        match listener.accept().await {
            Ok((stream, address)) => {
                let app = app.clone().layer(Extension(Peer(address)));
                connections.spawn(converse(stream, app));
            }
            // Out of file descriptors, most likely: it passes when connections close.
            Err(_) => sleep(Duration::from_millis(10)).await,
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn converse(stream: TcpStream, app: Router) {
    // A failure here shows to the client, which counts it.
    let _ = stream.set_nodelay(true);
    let mut server = auto::Builder::new(TokioExecutor::new());
    server.http2().max_concurrent_streams(MAX_STREAMS);
    let _ = server
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(app))
        .await;
}
