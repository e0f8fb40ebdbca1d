//! A collector behind TLS: trusted by the authorities of the machine, of which one variable names
//! the file. The variable is of a whole process, so each case exports from one of its own.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivateKeyDer;
use telemetry::{Exporter, Kind, Masker, Place, Span};
use tokio::process::Command;
use tokio::time::{Instant, timeout};

use crate::collector::Collector;
use crate::export::settings;

/// An authority that issues to collectors.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    /// Issues to `localhost`.
    fn collector(&self) -> ServerConfig {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        let leaf = params.signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        ServerConfig::builder_with_provider(aws_lc_rs::default_provider().into())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone()], key)
            .unwrap()
    }
}

/// Exports a span from a process that trusts the authorities of a file; returns what became of it
/// and what was logged.
async fn exported(url: &str, authorities: &Path) -> String {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", EXPORTS, "--nocapture"])
        .env(URL, url)
        .env("SSL_CERT_FILE", authorities)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = timeout(PATIENCE, command.output()).await.unwrap().unwrap();
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(output.status.success(), "{said}");
    said
}

/// Is the process of [`exported`]; by itself it exports nothing and says so.
#[expect(clippy::disallowed_methods, reason = "it ends with its test")]
#[tokio::test]
async fn a_span_is_exported_or_counted_while_nobody_waits() {
    let url = std::env::var(URL).unwrap_or_else(|_unset| "https://localhost:9".to_owned());
    tracing_subscriber::fmt().with_ansi(false).with_test_writer().init();
    let (exporter, worker) = Exporter::new(settings(&url), Masker::standard());
    let running = tokio::task::spawn(worker.run());
    let begun = Instant::now();
    let span = Span::new(Place::root(1, 1, true), "send", Kind::Internal, (1, 1));
    exporter.offer(Box::new(span));
    assert!(begun.elapsed() < Duration::from_millis(500), "{:?}", begun.elapsed());
    let settled = async {
        while exporter.exported() + exporter.dropped() == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, settled).await.unwrap();
    println!("exported {}, dropped {}", exporter.exported(), exporter.dropped());
    exporter.close();
    timeout(PATIENCE, running).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_collector_is_trusted_by_an_authority_of_the_named_file() {
    let (authority, folder) = (Authority::new("one"), tempfile::tempdir().unwrap());
    let file = folder.path().join("authorities.pem");
    // Others stand there too, and something that is none.
    std::fs::write(&file, format!("# ours\n{}{}", Authority::new("two").pem, authority.pem))
        .unwrap();
    let (collector, port) = Collector::start_tls(authority.collector()).await;
    let said = exported(&format!("https://localhost:{port}/base"), &file).await;
    assert!(said.contains("exported 1, dropped 0"), "{said}");
    let posted = collector.posted();
    assert_eq!(posted.len(), 1);
    assert!(posted[0].head.starts_with("post /base/v1/traces http/1.1\r\n"), "{}", posted[0].head);
    assert!(posted[0].head.contains(&format!("host: localhost:{port}\r\n")));
}

#[tokio::test]
async fn a_collector_that_is_not_trusted_gets_nothing_and_the_log_says_why() {
    let (authority, folder) = (Authority::new("one"), tempfile::tempdir().unwrap());
    let write = |name: &str, authority: &Authority| {
        let file = folder.path().join(name);
        std::fs::write(&file, &authority.pem).unwrap();
        file
    };
    let (own, other) = (write("own.pem", &authority), write("other.pem", &Authority::new("two")));
    // Of the same name, and with another key.
    let forged = write("forged.pem", &Authority::new("one"));
    let absent = folder.path().join("absent.pem");
    let unknown = "is not trusted: it was issued by no known authority; set SSL_CERT_FILE";
    for (host, authorities, why) in [
        ("localhost", &other, unknown),
        ("localhost", &forged, unknown),
        ("127.0.0.1", &own, "is not trusted: certificate not valid for name \"127.0.0.1\""),
        ("localhost", &absent, "no authority is known for its certificate; set SSL_CERT_FILE"),
    ] {
        let (collector, port) = Collector::start_tls(authority.collector()).await;
        let said = exported(&format!("https://{host}:{port}"), authorities).await;
        assert!(said.contains("exported 0, dropped 1"), "{said}");
        assert!(said.contains("telemetry is not exported") && said.contains(why), "{said}");
        assert!(!said.contains("hunter2"), "{said}");
        // Asking again would not help.
        assert_eq!((collector.connections(), collector.posted().len()), (1, 0), "{why}");
    }
}

/// The test that a process runs.
const EXPORTS: &str = "tls::a_span_is_exported_or_counted_while_nobody_waits";
/// Where that process exports to.
const URL: &str = "PALISADE_TEST_COLLECTOR";
const PATIENCE: Duration = Duration::from_secs(20);
