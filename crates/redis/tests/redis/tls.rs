//! Encrypted connections. The certificates are good for a hundred years from 2026, and for
//! 127.0.0.1.

use watertight_redis::{Error, RedisStoreBuilder};

use crate::harness::{RedisServer, free_port};
use crate::stage::{builder, remaining, take};

const ROOT: &[u8] = include_bytes!("certificates/ca.pem");
const CERTIFICATE: &[u8] = include_bytes!("certificates/client.pem");
const KEY: &[u8] = include_bytes!("certificates/client.key");

/// Starts a server that encrypts, and wants to know its clients or not.
fn start(authenticates: bool) -> (RedisServer, RedisStoreBuilder) {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/redis/certificates/");
    let path = |name| format!("{folder}{name}");
    let port = free_port();
    let server = RedisServer::start_with(&[
        "--tls-port",
        &port.to_string(),
        "--tls-cert-file",
        &path("server.pem"),
        "--tls-key-file",
        &path("server.key"),
        "--tls-ca-cert-file",
        &path("ca.pem"),
        "--tls-auth-clients",
        if authenticates { "yes" } else { "no" },
    ]);
    (server, builder(format!("rediss://127.0.0.1:{port}")))
}

async fn is_unreachable(store: RedisStoreBuilder) -> bool {
    matches!(take(&store.build()).await, Err(Error::Unreachable(_)))
}

#[tokio::test]
async fn decides_on_an_encrypted_connection_to_a_server_that_is_trusted() {
    let (_server, store) = start(false);

    assert!(is_unreachable(store.clone()).await, "nobody has signed it");
    let trusting = store.root_certificates(ROOT).build();
    assert_eq!(remaining(&take(&trusting).await.unwrap()), 99);
    assert_eq!(remaining(&take(&trusting).await.unwrap()), 98);
}

#[tokio::test]
async fn says_who_it_is_to_a_server_that_asks() {
    let (_server, store) = start(true);
    let trusting = store.root_certificates(ROOT);

    assert!(is_unreachable(trusting.clone()).await, "nobody is known");
    let known = trusting.client_certificate(CERTIFICATE, KEY).build();
    assert_eq!(remaining(&take(&known).await.unwrap()), 99);
}

#[test]
fn certificates_that_cannot_be_are_refused_without_showing_them() {
    let encrypted = || builder("rediss://127.0.0.1".to_owned());
    let plain = builder("redis://127.0.0.1".to_owned());

    for (builder, field) in [
        (encrypted().root_certificates("secret"), "root_certificates"),
        (
            encrypted().client_certificate("secret", KEY),
            "client_certificate",
        ),
        (
            encrypted().client_certificate(CERTIFICATE, "secret"),
            "client_certificate.key",
        ),
        (plain.root_certificates(ROOT), "url"),
    ] {
        let error = builder.try_build().unwrap_err();
        assert_eq!(error.field(), field);
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}
