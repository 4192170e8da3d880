use std::fmt;

use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, RedisResult};
use watertight_core::ConfigError;

use crate::RedisConfig;
#[cfg(feature = "tls")]
use crate::tls::Certificates;

/// How often a cluster is asked on where it has sent us: to another node, or to wait a little.
const REDIRECTIONS: u32 = 3;

/// How long is waited before a node is asked again, in milliseconds: no caller waits for more.
const BETWEEN: [u64; 2] = [5, 20];

/// How a connection is made.
#[derive(Clone)]
pub(crate) enum Dial {
    /// To one server.
    One(Client, AsyncConnectionConfig),
    /// To all nodes of a cluster.
    Cluster(ClusterClient),
}

/// A connection that many orders share.
#[derive(Clone)]
pub(crate) enum Line {
    One(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl Dial {
    /// Says how to connect to one server.
    pub(crate) fn one(
        url: &str,
        config: &RedisConfig,
        #[cfg(feature = "tls")] certificates: &Certificates,
    ) -> Result<Self, ConfigError> {
        #[cfg(feature = "tls")]
        let client = certificates.open(url);
        #[cfg(not(feature = "tls"))]
        let client = Client::open(url);
        let client = client.map_err(|error| refused("url", error.category()))?;
        let settings = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(config.connection_timeout))
            .set_response_timeout(Some(config.response_timeout));
        Ok(Self::One(client, settings))
    }

    /// Says how to connect to a cluster, of which some nodes are known.
    pub(crate) fn cluster(
        urls: &[String],
        config: &RedisConfig,
        #[cfg(feature = "tls")] certificates: &Certificates,
    ) -> Result<Self, ConfigError> {
        let builder = ClusterClient::builder(urls.iter().map(String::as_str))
            .connection_timeout(config.connection_timeout)
            .response_timeout(config.response_timeout)
            .retries(REDIRECTIONS)
            .min_retry_wait(BETWEEN[0])
            .max_retry_wait(BETWEEN[1]);
        #[cfg(feature = "tls")]
        let builder = certificates.give_to(builder);
        let client = builder
            .build()
            .map_err(|error| refused("urls", error.category()))?;
        Ok(Self::Cluster(client))
    }

    pub(crate) async fn connect(self) -> RedisResult<Line> {
        match self {
            Self::One(client, settings) => client
                .get_multiplexed_async_connection_with_config(&settings)
                .await
                .map(Line::One),
            Self::Cluster(client) => client.get_async_connection().await.map(Line::Cluster),
        }
    }
}

/// Refuses a URL without showing it: there may be a password in it.
fn refused(field: &'static str, why: &str) -> ConfigError {
    let allowed = format!("like redis://:password@host:6379/0 ({why})");
    ConfigError::new(field, format_args!("***"), allowed)
}

impl Line {
    /// Sends a command, and returns the numbers that come back.
    pub(crate) async fn ask(&mut self, command: &Cmd) -> RedisResult<Vec<i64>> {
        let value = match self {
            Self::One(connection) => connection.req_packed_command(command).await?,
            Self::Cluster(connection) => connection.req_packed_command(command).await?,
        };
        Ok(redis::from_redis_value(value.extract_error()?)?)
    }
}

impl fmt::Debug for Dial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::One(..) => "One",
            Self::Cluster(_) => "Cluster",
        })
    }
}
