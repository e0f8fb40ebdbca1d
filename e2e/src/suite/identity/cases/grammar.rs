//! The grammar of SPIFFE IDs, as the one name of a leaf that is good otherwise.

use super::super::certificate::uri;
use super::Expected::Unauthenticated;
use super::{Case, of_names};

pub(super) fn add(cases: &mut Vec<Case>) {
    let san = Unauthenticated("invalid_spiffe_san");
    for (id, text) in [
        ("ID.scheme-https", "https://mas/agent/alice"),
        ("ID.scheme-without-slashes", "spiffe:mas/agent/alice"),
        ("ID.scheme-with-one-slash", "spiffe:/mas/agent/alice"),
        ("ID.scheme-upper-case", "SPIFFE://mas/agent/alice"),
        ("ID.scheme-absent", "mas/agent/alice"),
        ("ID.scheme-longer", "xspiffe://mas/agent/alice"),
        ("ID.space-before", " spiffe://mas/agent/alice"),
        ("ID.empty", ""),
    ] {
        cases.push(of_names(id, vec![uri(text)], san));
    }
    let format = Unauthenticated("invalid_spiffe_format");
    for (id, text) in [
        ("ID.domain-empty", "spiffe:///agent/alice"),
        ("ID.domain-absent", "spiffe://"),
        ("ID.domain-upper-case", "spiffe://MAS/agent/alice"),
        ("ID.domain-escaped", "spiffe://m%61s/agent/alice"),
        ("ID.domain-not-ascii", "spiffe://mäs/agent/alice"),
        ("ID.domain-other", "spiffe://other/agent/alice"),
        ("ID.domain-longer", "spiffe://mas.evil/agent/alice"),
        ("ID.domain-address", "spiffe://127.0.0.1/agent/alice"),
        ("ID.domain-with-dot-at-the-end", "spiffe://mas./agent/alice"),
        ("ID.userinfo", "spiffe://u@mas/agent/alice"),
        ("ID.port", "spiffe://mas:443/agent/alice"),
        ("ID.port-empty", "spiffe://mas:/agent/alice"),
        ("ID.query", "spiffe://mas/agent/alice?x"),
        ("ID.query-empty", "spiffe://mas/agent/alice?"),
        ("ID.fragment", "spiffe://mas/agent/alice#x"),
        ("ID.path-two-slashes-first", "spiffe://mas//agent/alice"),
        ("ID.path-two-slashes", "spiffe://mas/agent//alice"),
        ("ID.path-parent", "spiffe://mas/agent/bob/../alice"),
        ("ID.path-here", "spiffe://mas/agent/./alice"),
        ("ID.path-ends-here", "spiffe://mas/agent/alice/."),
        ("ID.path-ends-with-slash", "spiffe://mas/agent/alice/"),
        ("ID.path-escaped", "spiffe://mas/agent/alic%65"),
        ("ID.path-escaped-slash", "spiffe://mas/agent%2falice"),
        ("ID.path-space", "spiffe://mas/agent/ali ce"),
        ("ID.path-not-ascii", "spiffe://mas/agent/älice"),
        ("ID.path-backslash", "spiffe://mas/agent\\alice"),
        ("ID.path-star", "spiffe://mas/agent/*"),
        ("ID.path-other-case", "spiffe://mas/Agent/alice"),
        ("ID.path-longer", "spiffe://mas/agent/alice/one"),
        ("ID.path-shorter", "spiffe://mas/alice"),
    ] {
        cases.push(of_names(id, vec![uri(text)], format));
    }
    let domain = format!("spiffe://{}/agent/alice", "a".repeat(256));
    cases.push(of_names("ID.domain-256-bytes", vec![uri(domain)], format));
    let unknown = Unauthenticated("agent_not_allowlisted");
    cases.push(of_names("ID.name-other-case", vec![uri("spiffe://mas/agent/Alice")], unknown));
    cases.push(of_names("ID.name-unknown", vec![uri("spiffe://mas/agent/mallory")], unknown));
}
