//! The grammar of SPIFFE IDs, as the one name of a leaf that is good otherwise.
//!
//! Each broken rule is named by its own cause: an ID that breaks one is no agent's either, and
//! would be refused with the same code if the rule were not there.

use super::super::certificate::uri;
use super::Expected::{Served, Unauthenticated};
use super::{Case, of_names};

pub(super) fn add(cases: &mut Vec<Case>) {
    let scheme = Unauthenticated("invalid_spiffe_san", "does not begin with `spiffe://`");
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
        cases.push(of_names(id, vec![uri(text)], scheme));
    }
    domains(cases);
    paths(cases);
    lengths(cases);
    let unknown = Unauthenticated("agent_not_allowlisted", "is not registered");
    cases.push(of_names("ID.name-other-case", vec![uri("spiffe://mas/agent/Alice")], unknown));
    cases.push(of_names("ID.name-unknown", vec![uri("spiffe://mas/agent/mallory")], unknown));
}

fn domains(cases: &mut Vec<Case>) {
    for (id, text, cause) in [
        ("ID.domain-empty", "spiffe:///agent/alice", "the trust domain is empty"),
        ("ID.domain-absent", "spiffe://", "the trust domain is empty"),
        ("ID.domain-upper-case", "spiffe://MAS/agent/alice", DOMAIN_9),
        ("ID.domain-escaped", "spiffe://m%61s/agent/alice", DOMAIN_10),
        ("ID.domain-not-ascii", "spiffe://mäs/agent/alice", DOMAIN_10),
        ("ID.domain-other", "spiffe://other/agent/alice", NOBODY),
        ("ID.domain-longer", "spiffe://mas.evil/agent/alice", NOBODY),
        ("ID.domain-address", "spiffe://127.0.0.1/agent/alice", NOBODY),
        ("ID.domain-with-dot-at-the-end", "spiffe://mas./agent/alice", NOBODY),
        ("ID.userinfo", "spiffe://u@mas/agent/alice", DOMAIN_10),
        ("ID.port", "spiffe://mas:443/agent/alice", DOMAIN_12),
        ("ID.port-empty", "spiffe://mas:/agent/alice", DOMAIN_12),
    ] {
        cases.push(of_names(id, vec![uri(text)], Unauthenticated(FORMAT, cause)));
    }
}

fn paths(cases: &mut Vec<Case>) {
    let (empty, relative) = ("an empty segment at byte", "a relative segment at byte");
    for (id, text, cause) in [
        ("ID.query", "spiffe://mas/agent/alice?x", PATH_24),
        ("ID.query-empty", "spiffe://mas/agent/alice?", PATH_24),
        ("ID.fragment", "spiffe://mas/agent/alice#x", PATH_24),
        ("ID.path-two-slashes-first", "spiffe://mas//agent/alice", empty),
        ("ID.path-two-slashes", "spiffe://mas/agent//alice", empty),
        ("ID.path-parent", "spiffe://mas/agent/bob/../alice", relative),
        ("ID.path-here", "spiffe://mas/agent/./alice", relative),
        ("ID.path-ends-here", "spiffe://mas/agent/alice/.", relative),
        ("ID.path-ends-with-slash", "spiffe://mas/agent/alice/", "the path ends with a slash"),
        ("ID.path-escaped", "spiffe://mas/agent/alic%65", "forbidden character at byte 23"),
        ("ID.path-escaped-slash", "spiffe://mas/agent%2falice", PATH_18),
        ("ID.path-space", "spiffe://mas/agent/ali ce", "forbidden character at byte 22"),
        ("ID.path-not-ascii", "spiffe://mas/agent/älice", "forbidden character at byte 19"),
        ("ID.path-backslash", "spiffe://mas/agent\\alice", PATH_18),
        ("ID.path-star", "spiffe://mas/agent/*", "forbidden character at byte 19"),
        ("ID.path-other-case", "spiffe://mas/Agent/alice", NOBODY),
        ("ID.path-longer", "spiffe://mas/agent/alice/one", NOBODY),
        ("ID.path-shorter", "spiffe://mas/alice", NOBODY),
    ] {
        cases.push(of_names(id, vec![uri(text)], Unauthenticated(FORMAT, cause)));
    }
}

/// The longest that are accepted are those of agents.
fn lengths(cases: &mut Vec<Case>) {
    let too_long = |cause| Unauthenticated(FORMAT, cause);
    cases.push(of_names("ID.domain-255-bytes", vec![uri(of_domain_bytes(255))], Served));
    let cause = too_long("the trust domain has 256 bytes");
    cases.push(of_names("ID.domain-256-bytes", vec![uri(of_domain_bytes(256))], cause));
    cases.push(of_names("ID.2048-bytes", vec![uri(of_bytes(2_048))], Served));
    let cause = too_long("the ID has 2049 bytes");
    cases.push(of_names("ID.2049-bytes", vec![uri(of_bytes(2_049))], cause));
}

/// Returns an ID whose trust domain has so many bytes.
pub(in super::super) fn of_domain_bytes(bytes: usize) -> String {
    format!("spiffe://{}/agent", "d".repeat(bytes))
}

/// Returns an ID of the own trust domain that has so many bytes.
pub(in super::super) fn of_bytes(bytes: usize) -> String {
    let begin = "spiffe://mas/";
    format!("{begin}{}", "p".repeat(bytes.saturating_sub(begin.len())))
}

const FORMAT: &str = "invalid_spiffe_format";
/// What is said of those who keep to the grammar and are nobody.
const NOBODY: &str = "is in another trust domain, or is neither listed";
const DOMAIN_9: &str = "the trust domain has a forbidden character at byte 9;";
const DOMAIN_10: &str = "the trust domain has a forbidden character at byte 10;";
const DOMAIN_12: &str = "the trust domain has a forbidden character at byte 12;";
const PATH_18: &str = "the path has a forbidden character at byte 18;";
const PATH_24: &str = "the path has a forbidden character at byte 24;";
