//! Encrypted connections.

use watertight_core::ConfigError;
use watertight_metrics::Registry;
use watertight_redis::{Error, RedisStore, RedisStoreBuilder};

use crate::certificates::{Authority, Signed};
use crate::cluster::{self, TENANTS};
use crate::harness::{RedisCluster, RedisServer, free_port, query};
use crate::stage::{PATIENT, builder, remaining, take};

/// Starts a server that encrypts, and wants to know its clients or not.
fn start(authority: &Authority, authenticates: bool) -> (RedisServer, RedisStoreBuilder) {
    let port = free_port();
    let mut arguments = authority.arguments(port);
    let authenticates = if authenticates { "yes" } else { "no" };
    arguments.extend(["--tls-auth-clients", authenticates].map(str::to_owned));
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let server = RedisServer::start_with(&arguments);
    (server, builder(format!("rediss://127.0.0.1:{port}")))
}

async fn is_unreachable(store: RedisStoreBuilder) -> bool {
    matches!(take(&store.build()).await, Err(Error::Unreachable(_)))
}

#[tokio::test]
async fn decides_on_an_encrypted_connection_to_a_server_that_is_trusted() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let (_server, store) = start(&authority, false);

    assert!(is_unreachable(store.clone()).await, "the system trusts it");
    let other = store.clone().root_certificates(stranger.root());
    assert!(is_unreachable(other).await, "another has signed it");
    let trusting = store.root_certificates(authority.root()).build();
    assert_eq!(remaining(&take(&trusting).await.unwrap()), 99);
    assert_eq!(remaining(&take(&trusting).await.unwrap()), 98);
}

#[tokio::test]
async fn says_who_it_is_to_a_server_that_asks() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let (_server, store) = start(&authority, true);
    let trusting = store.root_certificates(authority.root());

    assert!(is_unreachable(trusting.clone()).await, "it says nothing");
    let Signed { certificate, key } = stranger.sign();
    let unknown = trusting.clone().client_certificate(certificate, key);
    assert!(is_unreachable(unknown).await, "nobody knows it");
    let Signed { certificate, key } = authority.sign();
    let known = trusting.client_certificate(certificate, key).build();
    assert_eq!(remaining(&take(&known).await.unwrap()), 99);
}

/// Starts a cluster whose nodes encrypt what they say, to each other too, and know their clients.
fn start_cluster(authority: &Authority, ports: [u16; 3]) -> RedisCluster {
    let nodes = ports.map(|port| {
        let mut arguments = authority.arguments(port);
        let clustered = ["--cluster-enabled", "yes", "--tls-cluster", "yes"];
        arguments.extend(clustered.map(str::to_owned));
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        RedisServer::start_with(&arguments)
    });
    let [root, certificate, key] =
        ["ca.pem", "server.pem", "server.key"].map(|name| authority.path(name));
    let known = [
        "--tls",
        "--cacert",
        &root,
        "--cert",
        &certificate,
        "--key",
        &key,
    ];
    RedisCluster::join(nodes, ports, &known)
}

#[tokio::test]
async fn decides_on_encrypted_connections_to_all_nodes_of_a_cluster() {
    let authority = Authority::new();
    let ports = [(); 3].map(|()| free_port());
    let cluster = start_cluster(&authority, ports);
    let urls = ports.map(|port| format!("rediss://127.0.0.1:{port}"));
    let store = RedisStore::cluster("limits", urls).registry(&Registry::new());
    let store = store.response_timeout(PATIENT).connection_timeout(PATIENT);

    let trusting = store.root_certificates(authority.root());
    assert!(cluster::take(&trusting.clone().build(), 0).await.is_err());
    let Signed { certificate, key } = authority.sign();
    let known = trusting.client_certificate(certificate, key).build();
    for tenant in 0..TENANTS {
        let decision = cluster::take(&known, tenant).await.unwrap();
        assert_eq!(decision.status.remaining, 9);
    }

    for node in &cluster.nodes {
        let keys: u64 = query(&mut node.connect(), &["DBSIZE"]);
        assert!((1..TENANTS).contains(&keys), "{keys} of {TENANTS} keys");
    }
}

#[test]
fn certificates_that_cannot_be_are_refused_without_showing_them() {
    let authority = Authority::new();
    let (root, own) = (authority.root(), authority.sign());
    let (certificate, key) = (own.certificate.as_str(), own.key.as_str());
    let encrypted = || builder("rediss://127.0.0.1".to_owned());
    let plain = || builder("redis://127.0.0.1".to_owned());
    let second_is_plain = ["rediss://10.0.0.1", "redis://10.0.0.2"];
    let cut_off = format!("{root}-----BEGIN CERTIFICATE-----\nsecret");

    for (builder, field) in [
        (encrypted().root_certificates("secret"), "root_certificates"),
        (encrypted().root_certificates(key), "root_certificates"),
        (encrypted().root_certificates(cut_off), "root_certificates"),
        (
            encrypted().client_certificate("secret", key),
            "client_certificate",
        ),
        (
            encrypted().client_certificate(certificate, "secret"),
            "client_certificate.key",
        ),
        (plain().root_certificates(root.as_str()), "url"),
        (plain().client_certificate(certificate, key), "url"),
        (
            RedisStore::cluster("limits", second_is_plain).root_certificates(root.as_str()),
            "url",
        ),
    ] {
        let error = builder.try_build().unwrap_err();
        assert_eq!(error.field(), field);
        for secret in ["secret", key] {
            assert!(!error.to_string().contains(secret), "{error}");
        }
    }
}

#[test]
fn there_are_certificates_for_every_name_of_an_encrypted_server() {
    let root = Authority::new().root();
    let try_build = |url: &str| -> Result<_, ConfigError> {
        let builder = RedisStore::builder("limits", url).registry(&Registry::new());
        builder.root_certificates(root.as_str()).try_build()
    };

    for url in [
        "rediss://127.0.0.1",
        "valkeys://127.0.0.1",
        "REDISS://127.0.0.1",
    ] {
        assert!(try_build(url).is_ok(), "{url}");
    }
}
