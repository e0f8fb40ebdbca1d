//! What the authority issues, and what it refuses to.

use tempfile::TempDir;
use x509_parser::extensions::GeneralName;
use x509_parser::pem::parse_x509_pem;

use super::*;
use crate::files::FileError;
use crate::leaf::{self, Purpose};
use crate::tls::TlsError;

const NOW: i64 = 1_800_000_000;

fn ca() -> DevCa {
    DevCa::create("Test CA", NOW).unwrap()
}

fn days(days: u32) -> Validity {
    Validity::from_days(NOW, days).unwrap()
}

fn agent_id() -> SpiffeId {
    SpiffeId::parse("spiffe://mas/agent/helpdesk").unwrap()
}

fn der(pem: &str) -> Vec<u8> {
    let (rest, pem) = parse_x509_pem(pem.as_bytes()).unwrap();
    assert!(rest.is_empty(), "one certificate and nothing else");
    pem.contents
}

#[test]
fn an_agents_leaf_passes_the_leaf_check() {
    let issued = ca().issue_agent(&agent_id(), days(7)).unwrap();
    let peer = leaf::check_leaf(&der(&issued.cert_pem)).unwrap();
    assert_eq!(peer.spiffe_id, agent_id());
    assert_eq!(peer.not_before_unix, NOW - 300);
    assert_eq!(peer.not_after_unix, NOW + 7 * 86_400);
    assert_eq!(peer.serial_hex.len(), 32);
}

#[test]
fn a_servers_leaf_carries_all_its_names() {
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    let id = SpiffeId::parse("spiffe://mas/server").unwrap();
    let issued = ca().issue_server(&names, Some(&id), days(1)).unwrap();
    let der = der(&issued.cert_pem);
    assert_eq!(leaf::check(&der, Purpose::Server).unwrap().spiffe_id, id);
    assert!(leaf::check(&der, Purpose::Client).is_err(), "not usable as an agent");
    let (_, parsed) = x509_parser::parse_x509_certificate(&der).unwrap();
    let san = parsed.subject_alternative_name().unwrap().unwrap();
    let v6: &[u8] = &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    assert_eq!(
        san.value.general_names,
        [
            GeneralName::DNSName("localhost"),
            GeneralName::IPAddress(&[127, 0, 0, 1]),
            GeneralName::IPAddress(v6),
            GeneralName::URI("spiffe://mas/server"),
        ]
    );
}

#[test]
fn the_authority_is_one_and_lives_ten_years() {
    let der = der(ca().cert_pem());
    assert!(leaf::is_authority(&der));
    let (begin, end) = leaf::validity(&der).unwrap();
    assert_eq!((begin, end), (NOW - 300, NOW + 3_650 * 86_400));
    let (_, parsed) = x509_parser::parse_x509_certificate(&der).unwrap();
    assert_eq!(parsed.subject().to_string(), "CN=Test CA");
}

#[test]
fn serial_numbers_differ() {
    let ca = ca();
    let serial = || {
        let issued = ca.issue_agent(&agent_id(), days(1)).unwrap();
        leaf::check_leaf(&der(&issued.cert_pem)).unwrap().serial_hex
    };
    assert_ne!(serial(), serial());
}

#[test]
fn a_long_name_leaves_the_subject_empty_and_the_names_critical() {
    let long = format!("{}.example", "n".repeat(60));
    let id = SpiffeId::parse("spiffe://mas/server").unwrap();
    let issued = ca().issue_server(&[long], Some(&id), days(1)).unwrap();
    let der = der(&issued.cert_pem);
    let (_, parsed) = x509_parser::parse_x509_certificate(&der).unwrap();
    assert_eq!(parsed.subject().to_string(), "");
    assert!(parsed.subject_alternative_name().unwrap().unwrap().critical);
    assert!(leaf::check(&der, Purpose::Server).is_ok());
}

#[test]
fn names_that_cannot_stand_in_a_certificate_are_refused() {
    let ca = ca();
    let long = format!("{}.example", "n".repeat(64));
    for name in ["", "a b", "a..b", "ä.example", "a\u{1b}[2J", "*", long.as_str()] {
        let refused = ca.issue_server(&[name.to_owned()], None, days(1)).unwrap_err();
        assert!(matches!(refused, CaError::HostName { .. }), "{refused}");
        assert!(!refused.to_string().contains('\u{1b}'));
    }
    assert!(matches!(ca.issue_server(&[], None, days(1)), Err(CaError::NoName)));
    let domain_only = SpiffeId::parse("spiffe://mas").unwrap();
    assert!(matches!(ca.issue_agent(&domain_only, days(1)), Err(CaError::NoName)));
}

#[test]
fn validity_makes_sense() {
    assert!(matches!(Validity::from_days(NOW, 0), Err(CaError::Days { days: 0 })));
    assert!(Validity::from_days(NOW, 36_500).is_ok());
    assert!(matches!(Validity::from_days(NOW, 36_501), Err(CaError::Days { .. })));
    let of = |not_before_unix, not_after_unix| Validity { not_before_unix, not_after_unix };
    let issue = |validity| ca().issue_agent(&agent_id(), validity).map(|_issued| ());
    assert!(matches!(issue(of(2, 1)), Err(CaError::EndsBeforeBegin)));
    assert!(issue(of(1, 1)).is_ok());
    for unix in [i64::MAX, 253_402_300_800] {
        assert!(matches!(issue(of(1, unix)), Err(CaError::Instant { .. })));
    }
    assert!(matches!(issue(of(i64::MIN, 1)), Err(CaError::Instant { .. })));
    assert!(matches!(DevCa::create("x", i64::MAX), Err(CaError::Instant { .. })));
}

#[test]
fn a_saved_authority_issues_under_the_same_name_and_key() {
    let folder = TempDir::new().unwrap();
    let ca = ca();
    ca.save(folder.path(), Overwrite::Refuse).unwrap();
    let refused = ca.save(folder.path(), Overwrite::Refuse).unwrap_err();
    assert!(matches!(refused, CaError::File(FileError::Exists { .. })));
    let loaded = DevCa::load(folder.path()).unwrap();
    assert_eq!(loaded.cert_pem(), ca.cert_pem());
    let issued = loaded.issue_agent(&agent_id(), days(1)).unwrap();
    let (leaf, authority) = (der(&issued.cert_pem), der(ca.cert_pem()));
    let (_, leaf) = x509_parser::parse_x509_certificate(&leaf).unwrap();
    let (_, authority) = x509_parser::parse_x509_certificate(&authority).unwrap();
    assert_eq!(leaf.issuer().as_raw(), authority.subject().as_raw());
}

#[test]
fn a_damaged_authority_is_not_loaded() {
    let folder = TempDir::new().unwrap();
    assert!(matches!(DevCa::load(folder.path()), Err(CaError::Tls(TlsError::File(_)))));
    ca().save(folder.path(), Overwrite::Refuse).unwrap();
    let stranger = TempDir::new().unwrap();
    ca().save(stranger.path(), Overwrite::Refuse).unwrap();
    std::fs::copy(stranger.path().join("ca.key"), folder.path().join("ca.key")).unwrap();
    let refused = DevCa::load(folder.path()).unwrap_err();
    assert!(matches!(refused, CaError::Tls(TlsError::KeyMismatch { .. })), "{refused}");
}

#[test]
fn a_pair_is_saved_whole_or_not_at_all() {
    let folder = TempDir::new().unwrap();
    let issued = ca().issue_agent(&agent_id(), days(1)).unwrap();
    std::fs::write(folder.path().join("a.pem"), "in the way").unwrap();
    assert!(issued.save(folder.path(), "a", Overwrite::Refuse).is_err());
    assert!(!folder.path().join("a.key").exists());
    issued.save(folder.path(), "a", Overwrite::Replace).unwrap();
    assert!(certified_key(&folder.path().join("a.pem"), &folder.path().join("a.key")).is_ok());
}

#[test]
fn file_names_stay_in_their_folder_and_off_the_authority() {
    let folder = TempDir::new().unwrap();
    let issued = ca().issue_agent(&agent_id(), days(1)).unwrap();
    let long = "n".repeat(65);
    for name in ["", "ca", ".hidden", "..", "a/b", "../a", "a\0", "ä", long.as_str()] {
        let refused = issued.save(folder.path(), name, Overwrite::Replace).unwrap_err();
        assert!(matches!(refused, CaError::FileName), "{name}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn debug_shows_no_key() {
    let ca = ca();
    let issued = ca.issue_agent(&agent_id(), days(1)).unwrap();
    let shown = format!("{ca:?} {issued:?}");
    assert!(shown.contains("[redacted]"));
    assert!(!shown.contains("PRIVATE KEY"));
}
