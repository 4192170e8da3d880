use redis::cluster::ClusterClientBuilder;
use redis::{Client, ClientTlsConfig, RedisResult, TlsCertificates};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use watertight_core::ConfigError;

/// What both ends of an encrypted connection are known by, in PEM.
#[derive(Clone, Default)]
pub(crate) struct Certificates {
    /// Who signs those of the servers. `None`: whom the system trusts.
    pub(crate) roots: Option<Vec<u8>>,
    /// Our own, and its key.
    pub(crate) own: Option<(Vec<u8>, Vec<u8>)>,
}

impl Certificates {
    /// Checks that connections can be made to these servers.
    ///
    /// # Errors
    ///
    /// What cannot be read, without showing it, or that there is nothing to encrypt.
    pub(crate) fn validate(&self, urls: &[String]) -> Result<(), ConfigError> {
        let refused = |field, allowed| Err(ConfigError::new(field, format_args!("***"), allowed));

        if self
            .roots
            .as_deref()
            .is_some_and(|pem| !are_certificates(pem))
        {
            return refused("root_certificates", "certificates in PEM");
        }
        if let Some((certificate, key)) = &self.own {
            if !are_certificates(certificate) {
                return refused("client_certificate", "a certificate in PEM");
            }
            if PrivateKeyDer::from_pem_slice(key).is_err() {
                return refused("client_certificate.key", "a private key in PEM");
            }
        }
        if !self.are_none() && !urls.iter().all(|url| is_encrypted(url)) {
            return refused("url", "like rediss://host, since there are certificates");
        }
        Ok(())
    }

    /// Says how to connect to one server.
    pub(crate) fn open(&self, url: &str) -> RedisResult<Client> {
        if self.are_none() {
            return Client::open(url);
        }
        Client::build_with_tls(url, self.of_client())
    }

    /// Has the connections to a cluster be made by them.
    pub(crate) fn give_to(&self, builder: ClusterClientBuilder) -> ClusterClientBuilder {
        if self.are_none() {
            return builder;
        }
        builder.certs(self.of_client())
    }

    fn are_none(&self) -> bool {
        self.roots.is_none() && self.own.is_none()
    }

    fn of_client(&self) -> TlsCertificates {
        let own = self.own.clone();
        TlsCertificates {
            client_tls: own.map(|(client_cert, client_key)| ClientTlsConfig {
                client_cert,
                client_key,
            }),
            root_cert: self.roots.clone(),
        }
    }
}

/// Chooses a crypto provider if one of these servers encrypts, and the program has chosen none: where
/// several are compiled in, rustls panics then.
pub(crate) fn choose_provider_for(urls: &[String]) {
    let encrypts = urls.iter().any(|url| is_encrypted(url));
    if encrypts && CryptoProvider::get_default().is_none() {
        // If another thread is first, that is the one.
        let _ = ring::default_provider().install_default();
    }
}

fn is_encrypted(url: &str) -> bool {
    let scheme = url.split(':').next().unwrap_or(url);
    let is_scheme = |name: &&str| scheme.eq_ignore_ascii_case(name);
    ["rediss", "valkeys"].iter().any(is_scheme)
}

fn are_certificates(pem: &[u8]) -> bool {
    let mut certificates = CertificateDer::pem_slice_iter(pem).peekable();
    certificates.peek().is_some() && certificates.all(|certificate| certificate.is_ok())
}

#[cfg(test)]
mod tests {
    use watertight_metrics::Registry;

    use super::*;
    use crate::RedisStore;

    /// The program may choose another one as long as it is not needed.
    #[test]
    fn a_provider_is_chosen_for_a_server_that_encrypts_and_for_no_other() {
        let try_build = |urls: [&str; 2]| {
            let builder = RedisStore::cluster("limits", urls).registry(&Registry::new());
            builder.try_build().map(drop)
        };
        let has_provider = || CryptoProvider::get_default().is_some();

        assert_eq!(try_build(["redis://10.0.0.1", "redis://10.0.0.2"]), Ok(()));
        assert!(!has_provider());

        assert_eq!(
            try_build(["rediss://10.0.0.1", "rediss://10.0.0.2"]),
            Ok(())
        );
        assert!(has_provider());
    }
}
