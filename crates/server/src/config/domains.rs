//! Trust domains and the agents that are named by a SPIFFE ID of their own.
//!
//! It asks whether the keys go together; the files of the bundles are read later.

use std::collections::BTreeMap;

use identity::SpiffeId;

use super::{Config, Server, TlsSource};

/// Returns every place with what is wrong there.
pub(super) fn problems(config: &Config) -> Vec<(String, String)> {
    let server = &config.server;
    let mut found: Vec<(String, String)> =
        server.federated.keys().filter_map(|domain| of_domain(server, domain)).collect();
    let mut agents = BTreeMap::new();
    for (agent, keys) in &config.agents {
        let Some(id) = &keys.spiffe_id else { continue };
        let place = format!("agents.{agent}.spiffe_id");
        if let Some(other) = agents.insert(id.as_str(), agent) {
            found.push((place.clone(), format!("is also the ID of the agent `{other}`")));
        }
        found.extend(of_id(config, agent, id).map(|what| (place, what)));
    }
    found
}

fn of_domain(server: &Server, domain: &str) -> Option<(String, String)> {
    let place = format!("server.spiffe.federated.{domain}");
    let is_own = domain == server.trust_domain;
    is_own.then(|| {
        let what = "is the own trust domain, whose CA is `server.tls.client_ca`; remove it here";
        (place, what.to_owned())
    })
}

fn of_id(config: &Config, agent: &str, id: &SpiffeId) -> Option<String> {
    let server = &config.server;
    if id.path().is_empty() {
        return Some("names a trust domain and nobody in it; add the path".to_owned());
    }
    let domain = id.trust_domain();
    // What a Workload API gives is not known before it is asked, and may change.
    let is_open = matches!(server.tls.source, TlsSource::WorkloadApi(_));
    if domain != server.trust_domain && !is_open && !server.federated.contains_key(domain) {
        return Some(format!(
            "is of the trust domain `{domain}`, of which no CA is known; add it to \
             server.spiffe.federated"
        ));
    }
    if server.operator_ids.extract(id).is_some() {
        return Some("is an operator's by server.spiffe.operator_path".to_owned());
    }
    let named = server.agent_ids.extract(id).filter(|named| *named != agent)?;
    let is_free = config.agents.get(named).is_some_and(|other| other.spiffe_id.is_some());
    (!is_free).then(|| format!("is the ID of an agent `{named}` by server.spiffe.agent_path"))
}
