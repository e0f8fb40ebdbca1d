//! Where identity and trust come from: the files or the Workload API, and exactly one of both.

use workload::Endpoint;

use super::error::ConfigErrorCode;
use super::fit::TLS_REQUIRED;
use super::sections::{ServerKeys, Tls, TlsFiles, TlsKeys, TlsSource};

/// Chooses between the two, and reports what does not go together.
pub(super) fn resolve(
    server: &ServerKeys,
    mut report: impl FnMut(ConfigErrorCode, &str, String),
) -> Option<Tls> {
    let keys = &server.tls;
    let source = match &keys.workload_api {
        None => files(keys, report).map(TlsSource::Files),
        Some(text) => {
            let mut conflict = |path: &str, what: &str| {
                let message = format!(
                    "stands beside server.tls.workload_api, which gives {what}; remove one of both"
                );
                report(ConfigErrorCode::Value, path, message);
            };
            let TlsKeys { cert, key, client_ca, crl, .. } = keys;
            let given = [
                ("server.tls.cert", cert, "the certificate"),
                ("server.tls.key", key, "the key"),
                ("server.tls.client_ca", client_ca, "the authorities"),
                ("server.tls.crl", crl, "the revocation lists"),
            ];
            for (path, _, what) in given.iter().filter(|(_, file, _)| file.is_some()) {
                conflict(path, what);
            }
            if !server.spiffe.federated.is_empty() {
                conflict("server.spiffe.federated", "the authorities of other trust domains");
            }
            match Endpoint::parse(text) {
                Ok(endpoint) => Some(TlsSource::WorkloadApi(endpoint)),
                Err(cause) => {
                    let path = "server.tls.workload_api";
                    report(ConfigErrorCode::Value, path, cause.to_string());
                    None
                }
            }
        }
    };
    let (crl_expired, reload_every) = (keys.crl_expired, keys.reload_every);
    source.map(|source| Tls { source, crl_expired, reload_every })
}

fn files(
    keys: &TlsKeys,
    mut report: impl FnMut(ConfigErrorCode, &str, String),
) -> Option<TlsFiles> {
    let TlsKeys { cert, key, client_ca, crl, .. } = keys;
    for (path, file) in
        [("server.tls.cert", cert), ("server.tls.key", key), ("server.tls.client_ca", client_ca)]
    {
        if file.is_none() {
            report(ConfigErrorCode::MissingKey, path, TLS_REQUIRED.to_owned());
        }
    }
    let (Some(cert), Some(key), Some(client_ca)) = (cert, key, client_ca) else { return None };
    Some(TlsFiles {
        cert: cert.clone(),
        key: key.clone(),
        client_ca: client_ca.clone(),
        crl: crl.clone(),
    })
}
