//! Certificates of a test's own, made as it begins.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
};

/// Who signs the certificates of a test, and keeps those of its servers in files, which end with it.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: PathBuf,
}

/// A certificate for 127.0.0.1 and its key, both in PEM.
pub(crate) struct Signed {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        static MADE: AtomicUsize = AtomicUsize::new(0);

        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let name = &mut params.distinguished_name;
        name.push(DnType::CommonName, "the authority of a test");
        let issuer = CertifiedIssuer::self_signed(params, key()).expect("a certificate");

        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("watertight-certificates-{}-{number}", process::id());
        let folder = env::temp_dir().join(name);
        fs::create_dir_all(&folder).expect("a folder for the certificates");
        let authority = Self { issuer, folder };
        let server = authority.sign();
        for (name, pem) in [
            ("ca.pem", authority.root()),
            ("server.pem", server.certificate),
            ("server.key", server.key),
        ] {
            fs::write(authority.folder.join(name), pem).expect("a file");
        }
        authority
    }

    /// Returns its own certificate, which is to be trusted.
    pub(crate) fn root(&self) -> String {
        pem("CERTIFICATE", self.issuer.der())
    }

    pub(crate) fn sign(&self) -> Signed {
        let key = key();
        let params = CertificateParams::new(["127.0.0.1".to_owned()]).expect("an address");
        let certificate = params.signed_by(&key, &self.issuer);
        Signed {
            certificate: pem("CERTIFICATE", certificate.expect("a certificate").der()),
            key: pem("PRIVATE KEY", &key.serialize_der()),
        }
    }

    /// Returns the arguments of a server that encrypts what it says on this port.
    pub(crate) fn arguments(&self, port: u16) -> Vec<String> {
        let arguments = [
            ("--tls-port", port.to_string()),
            ("--tls-cert-file", self.path("server.pem")),
            ("--tls-key-file", self.path("server.key")),
            ("--tls-ca-cert-file", self.path("ca.pem")),
        ];
        let pairs = arguments.map(|(name, value)| [name.to_owned(), value]);
        pairs.into_iter().flatten().collect()
    }

    /// Returns where a file of it is.
    pub(crate) fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn key() -> KeyPair {
    KeyPair::generate().expect("a key")
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<_> = text
        .as_bytes()
        .chunks(64)
        .map(String::from_utf8_lossy)
        .collect();
    let lines = lines.join("\n");
    format!("-----BEGIN {label}-----\n{lines}\n-----END {label}-----\n")
}
