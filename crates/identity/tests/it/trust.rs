//! Chains judged by the bundle of their own trust domain, and by revocation lists.

use std::collections::BTreeMap;
use std::time::Duration;

use identity::{
    Bundle, BundleError, DevCa, ListError, ListExpiry, RevocationLists, SignerError, Trust,
};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer,
    CrlDistributionPoint, CrlIssuingDistributionPoint, CrlScope, DistinguishedName, DnType, IsCa,
    Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, RevocationReason, RevokedCertParams, SanType,
    SerialNumber,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime};
use rustls::{CertificateError, Error};
use time::OffsetDateTime;

use crate::site::{DAY, NOW, agent_id, valid};

/// An authority, of the root or below it.
type Ca = CertifiedIssuer<'static, KeyPair>;

fn at(unix: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(unix).unwrap()
}

fn now() -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(NOW).unwrap()))
}

fn params(name: &str, until: i64) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = at(NOW - DAY);
    params.not_after = at(until);
    params
}

fn authority(name: &str, id: Option<&str>, until: i64) -> CertificateParams {
    let mut params = params(name, until);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.subject_alt_names = id.map(uri).into_iter().collect();
    params
}

fn uri(id: &str) -> SanType {
    SanType::URI(id.try_into().unwrap())
}

fn root(name: &str) -> Ca {
    CertifiedIssuer::self_signed(authority(name, None, NOW + 90 * DAY), key()).unwrap()
}

fn key() -> KeyPair {
    KeyPair::generate().unwrap()
}

fn leaf(ca: &Issuer<'static, KeyPair>, id: &str, serial: u64) -> CertificateDer<'static> {
    let mut params = params("leaf", NOW + DAY);
    params.subject_alt_names = vec![uri(id)];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.serial_number = Some(SerialNumber::from(serial));
    params.signed_by(&key(), ca).unwrap().der().clone()
}

fn bundle(domain: &str, cas: &[&Ca]) -> Bundle {
    Bundle::new(domain, cas.iter().map(|ca| ca.der().clone()).collect()).unwrap()
}

fn list(ca: &Ca, revoked: &[u64]) -> CertificateRevocationListDer<'static> {
    list_until(ca, revoked, NOW + DAY, None)
}

fn list_until(
    ca: &Ca,
    revoked: &[u64],
    until: i64,
    scope: Option<CrlIssuingDistributionPoint>,
) -> CertificateRevocationListDer<'static> {
    let revoked = revoked.iter().map(|serial| RevokedCertParams {
        serial_number: SerialNumber::from(*serial),
        revocation_time: at(NOW - 1),
        reason_code: Some(RevocationReason::KeyCompromise),
        invalidity_date: None,
    });
    let params = CertificateRevocationListParams {
        this_update: at(NOW - DAY),
        next_update: at(until),
        crl_number: SerialNumber::from(1),
        issuing_distribution_point: scope,
        revoked_certs: revoked.collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    params.signed_by(ca).unwrap().der().clone()
}

fn lists(of: Vec<CertificateRevocationListDer<'static>>) -> RevocationLists {
    RevocationLists::new(of, ListExpiry::Refuse, NOW).unwrap()
}

/// Trusts one domain, `mas`.
fn trust(cas: &[&Ca], lists: &RevocationLists) -> Trust {
    Trust::new("mas", &bundle("mas", cas), &BTreeMap::new(), lists).unwrap()
}

fn refusal(trust: &Trust, chain: &[CertificateDer<'static>]) -> CertificateError {
    match trust.verify(chain, now()) {
        Err(Error::InvalidCertificate(cause)) => cause,
        other => panic!("{other:?}"),
    }
}

const HELPDESK: &str = "spiffe://mas/agent/helpdesk";

#[test]
fn an_authority_of_one_trust_domain_does_not_speak_for_another() {
    let (own, other) = (root("own"), root("other"));
    let federated = BTreeMap::from([("other.org".to_owned(), bundle("other.org", &[&other]))]);
    let trust = Trust::new("mas", &bundle("mas", &[&own]), &federated, &RevocationLists::default());
    let trust = trust.unwrap();
    for (ca, id) in [(&own, HELPDESK), (&other, "spiffe://other.org/x")] {
        trust.verify(&[leaf(ca, id, 1)], now()).unwrap();
    }
    for (ca, id) in [
        (&own, "spiffe://other.org/x"),
        (&other, HELPDESK),
        // Of no domain that is known, by either.
        (&own, "spiffe://third.org/x"),
        (&other, "spiffe://third.org/x"),
    ] {
        assert_eq!(refusal(&trust, &[leaf(ca, id, 1)]), CertificateError::UnknownIssuer, "{id}");
    }
    assert!(trust.knows("mas") && trust.knows("other.org") && !trust.knows("third.org"));
}

#[test]
fn an_empty_bundle_trusts_nobody() {
    let own = root("own");
    let federated = BTreeMap::from([("other.org".to_owned(), bundle("other.org", &[]))]);
    let none = RevocationLists::default();
    let trust = Trust::new("mas", &bundle("mas", &[&own]), &federated, &none).unwrap();
    trust.verify(&[leaf(&own, HELPDESK, 1)], now()).unwrap();
    let of_other = leaf(&own, "spiffe://other.org/x", 1);
    assert_eq!(refusal(&trust, &[of_other]), CertificateError::UnknownIssuer);
    let nobody = Trust::new("mas", &bundle("mas", &[]), &BTreeMap::new(), &none).unwrap();
    assert_eq!(refusal(&nobody, &[leaf(&own, HELPDESK, 1)]), CertificateError::UnknownIssuer);
}

#[test]
fn a_revoked_leaf_is_refused_and_its_neighbours_are_not() {
    let own = root("own");
    let trust = trust(&[&own], &lists(vec![list(&own, &[7, 9])]));
    trust.verify(&[leaf(&own, HELPDESK, 8)], now()).unwrap();
    for serial in [7, 9] {
        let chain = [leaf(&own, HELPDESK, serial)];
        assert_eq!(refusal(&trust, &chain), CertificateError::Revoked);
    }
}

#[test]
fn a_list_of_one_authority_does_not_count_for_another() {
    let (one, other) = (root("one"), root("other"));
    let trust = trust(&[&one, &other], &lists(vec![list(&one, &[7])]));
    trust.verify(&[leaf(&other, HELPDESK, 7)], now()).unwrap();
    assert_eq!(refusal(&trust, &[leaf(&one, HELPDESK, 7)]), CertificateError::Revoked);
}

#[test]
fn a_revoked_intermediate_takes_its_leaves_with_it() {
    let own = root("own");
    let mut below = authority("below", None, NOW + DAY);
    below.serial_number = Some(SerialNumber::from(33));
    let below = CertifiedIssuer::signed_by(below, key(), &own).unwrap();
    let chain = [leaf(&below, HELPDESK, 1), below.der().clone()];
    trust(&[&own], &lists(vec![list(&own, &[32])])).verify(&chain, now()).unwrap();
    let strict = trust(&[&own], &lists(vec![list(&own, &[33])]));
    assert_eq!(refusal(&strict, &chain), CertificateError::Revoked);
    // And the intermediate's own list is asked for the leaf.
    let strict = trust(&[&own], &lists(vec![list(&own, &[]), list(&below, &[1])]));
    assert_eq!(refusal(&strict, &chain), CertificateError::Revoked);
}

#[test]
fn a_list_that_another_key_signed_refuses_everybody_of_its_issuer() {
    let (own, forger) = (root("own"), root("own"));
    let trust = trust(&[&own], &lists(vec![list(&forger, &[])]));
    trust.verify(&[leaf(&own, HELPDESK, 1)], now()).unwrap_err();
}

#[test]
fn a_list_that_runs_out_refuses_everybody_of_its_issuer_unless_it_is_accepted() {
    let own = root("own");
    let chain = [leaf(&own, HELPDESK, 1)];
    let one = || vec![list_until(&own, &[7], NOW + 10, None)];
    let strict = trust(&[&own], &lists(one()));
    assert_eq!(strict.lists_end_unix(), Some(NOW + 10));
    assert_eq!(strict.verify_again_at(&chain, NOW), Some(NOW + 11));
    assert_eq!(strict.verify_again_at(&chain, NOW + 11), None);
    strict.verify(&chain, now()).unwrap();
    let later = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(NOW + 11).unwrap()));
    let refused = strict.verify(&chain, later).unwrap_err();
    assert!(refused.to_string().contains("revocation list expired"), "{refused}");
    let lenient = RevocationLists::new(one(), ListExpiry::Accept, NOW + 11).unwrap();
    let lenient = trust(&[&own], &lenient);
    lenient.verify(&chain, later).unwrap();
    lenient.verify(&[leaf(&own, HELPDESK, 7)], later).unwrap_err();
    assert_eq!(lenient.verify_again_at(&chain, NOW), None);
    let refused = RevocationLists::new(one(), ListExpiry::Refuse, NOW + 11).unwrap_err();
    assert_eq!(refused, ListError::Expired { end_unix: NOW + 10 });
    assert!(refused.to_string().contains("crl_expired"), "{refused}");
}

#[test]
fn lists_that_would_not_do_what_they_seem_to_are_refused() {
    let own = root("own");
    let load = |of| RevocationLists::new(of, ListExpiry::Refuse, NOW).unwrap_err();
    let twice = vec![list(&own, &[1]), list(&own, &[2])];
    assert_eq!(load(twice), ListError::IssuerTwice);
    for scope in [None, Some(CrlScope::UserCertsOnly)] {
        let point = CrlDistributionPoint { uris: vec!["http://a/crl".to_owned()] };
        let scope = CrlIssuingDistributionPoint { distribution_point: point, scope };
        let partial = vec![list_until(&own, &[1], NOW + DAY, Some(scope))];
        assert_eq!(load(partial), ListError::Partial);
    }
    assert_eq!(load(vec![vec![0x30, 0x00].into()]), ListError::Unreadable);
    let mut longer = list(&own, &[1]).to_vec();
    longer.push(0);
    assert_eq!(load(vec![longer.into()]), ListError::Unreadable);
}

#[test]
fn who_signs_others_speaks_for_nobody() {
    let own = root("own");
    let below = |id: Option<&str>| {
        CertifiedIssuer::signed_by(authority("below", id, NOW + DAY), key(), &own).unwrap()
    };
    let trust = trust(&[&own], &RevocationLists::default());
    let chain = |ca: &Ca| [leaf(ca, HELPDESK, 1), ca.der().clone()];
    for id in [None, Some("spiffe://mas"), Some("https://mas/agent/x")] {
        trust.verify(&chain(&below(id)), now()).unwrap();
    }
    for id in ["spiffe://mas/agent/ca", "spiffe://other.org", "spiffe://MAS"] {
        let refused = trust.verify(&chain(&below(Some(id))), now()).unwrap_err();
        assert!(refused.to_string().contains("an authority's certificate"), "{refused}");
    }
    // Nor does it authenticate.
    let ca = below(None);
    assert!(matches!(
        refusal(&trust, &[ca.der().clone()]),
        CertificateError::Other(_) | CertificateError::InvalidPurposeContext { .. }
    ));
    for (id, refused) in [
        ("spiffe://mas/x", SignerError::NotADomain),
        ("spiffe://other.org", SignerError::OtherDomain),
    ] {
        let ca = CertifiedIssuer::self_signed(authority("ca", Some(id), NOW + DAY), key());
        let made = Bundle::new("mas", vec![ca.unwrap().der().clone()]).map(|_bundle| ());
        assert_eq!(made, Err(BundleError::Signer(refused)));
    }
}

#[test]
fn a_chain_is_judged_again_when_its_intermediate_ends() {
    let own = root("own");
    let below = authority("below", None, NOW + 60);
    let below = CertifiedIssuer::signed_by(below, key(), &own).unwrap();
    let trust = trust(&[&own], &RevocationLists::default());
    let chain = [leaf(&below, HELPDESK, 1), below.der().clone()];
    trust.verify(&chain, now()).unwrap();
    assert_eq!(trust.verify_again_at(&chain, NOW), Some(NOW + 61));
    let later = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(NOW + 61).unwrap()));
    trust.verify(&chain, later).unwrap_err();
}

#[test]
fn a_leaf_is_valid_to_the_second_by_the_servers_time() {
    let own = root("own");
    let trust = trust(&[&own], &RevocationLists::default());
    for (from, until, is_good) in
        [(0, 0, true), (-1, -1, false), (1, 1, false), (-1, 0, true), (0, 1, true)]
    {
        let mut params = params("leaf", NOW + until);
        params.not_before = at(NOW + from);
        params.subject_alt_names = vec![uri(HELPDESK)];
        let leaf = params.signed_by(&key(), &own).unwrap().der().clone();
        assert_eq!(trust.verify(&[leaf], now()).is_ok(), is_good, "{from} {until}");
    }
}

#[test]
fn the_digest_tells_one_trust_from_another() {
    let (one, other) = (root("one"), root("other"));
    let none = RevocationLists::default();
    let federated = |ca| BTreeMap::from([("other.org".to_owned(), bundle("other.org", &[ca]))]);
    let both = Trust::new("mas", &bundle("mas", &[&one]), &federated(&other), &none).unwrap();
    let same = Trust::new("mas", &bundle("mas", &[&one]), &federated(&other), &none).unwrap();
    assert_eq!(both.digest(), same.digest());
    for unlike in [
        Trust::new("mas", &bundle("mas", &[&other]), &federated(&one), &none).unwrap(),
        trust(&[&one, &other], &none),
        trust(&[&one], &none),
        trust(&[&one], &lists(vec![list(&one, &[1])])),
        trust(&[&one], &lists(vec![list(&one, &[2])])),
    ] {
        assert_ne!(both.digest(), unlike.digest());
    }
}

#[test]
fn the_development_authority_revokes_what_it_issued() {
    let ca = DevCa::create("dev", NOW).unwrap();
    let [good, bad] = [1, 2].map(|_| ca.issue_agent(&agent_id(), valid()).unwrap().cert_pem);
    let der = |pem: &str| CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
    let pem = ca.revocation_list(&[&bad], valid()).unwrap();
    let list = CertificateRevocationListDer::from_pem_slice(pem.as_bytes()).unwrap();
    let bundle = Bundle::new("mas", vec![der(ca.cert_pem())]).unwrap();
    let trust = Trust::new("mas", &bundle, &BTreeMap::new(), &lists(vec![list])).unwrap();
    trust.verify(&[der(&good)], now()).unwrap();
    assert_eq!(refusal(&trust, &[der(&bad)]), CertificateError::Revoked);
    assert!(ca.revocation_list(&["no certificate"], valid()).is_err());
}
