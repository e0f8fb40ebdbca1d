//! The rules of a leaf one by one, on certificates that break exactly one of them.

use proptest::prelude::*;
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, OtherNameValue, SanType, SerialNumber,
};
use time::OffsetDateTime;

use super::*;

const ID: &str = "spiffe://mas/agent/helpdesk";
const SAN_OID: &[u64] = &[2, 5, 29, 17];
const KEY_USAGE_OID: &[u64] = &[2, 5, 29, 15];
const CONSTRAINTS_OID: &[u64] = &[2, 5, 29, 19];

/// Mints a good leaf after one change; who signs does not matter to the check.
fn mint(change: impl FnOnce(&mut CertificateParams)) -> Vec<u8> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "helpdesk");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.subject_alt_names = vec![uri(ID)];
    change(&mut params);
    let key = KeyPair::generate().unwrap();
    params.self_signed(&key).unwrap().der().to_vec()
}

fn with_names(names: Vec<SanType>) -> Vec<u8> {
    mint(|params| params.subject_alt_names = names)
}

fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().unwrap())
}

fn dns(text: &str) -> SanType {
    SanType::DnsName(text.try_into().unwrap())
}

/// Writes one element of DER with a short or a long length.
fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![tag];
    match u8::try_from(content.len()) {
        Ok(length) if length < 0x80 => bytes.push(length),
        _ => {
            bytes.push(0x84);
            bytes.extend(u32::try_from(content.len()).unwrap().to_be_bytes());
        }
    }
    bytes.extend(content);
    bytes
}

fn raw_extension(oid: &[u64], content: Vec<u8>, critical: bool) -> CustomExtension {
    let mut extension = CustomExtension::from_oid_content(oid, content);
    extension.set_criticality(critical);
    extension
}

/// Mints a leaf whose only alternative name is a URI of arbitrary bytes.
fn with_raw_uri(
    bytes: &[u8],
    critical: bool,
    change: impl FnOnce(&mut CertificateParams),
) -> Vec<u8> {
    let names = element(0x30, &element(0x86, bytes));
    mint(|params| {
        params.subject_alt_names = vec![];
        params.custom_extensions.push(raw_extension(SAN_OID, names, critical));
        change(params);
    })
}

fn code(der: &[u8]) -> &'static str {
    check_leaf(der).map_or_else(|refused| refused.code(), |_accepted| "accepted")
}

#[test]
fn a_good_leaf_tells_who_it_is() {
    let der = mint(|params| {
        params.serial_number = Some(SerialNumber::from_slice(&[0x00, 0x8f, 0x01, 0xab]));
        params.not_before = OffsetDateTime::from_unix_timestamp(1_700_000_000).unwrap();
        params.not_after = OffsetDateTime::from_unix_timestamp(4_102_444_800).unwrap();
    });
    let peer = check_leaf(&der).unwrap();
    assert_eq!(peer.spiffe_id.as_str(), ID);
    assert_eq!((peer.not_before_unix, peer.not_after_unix), (1_700_000_000, 4_102_444_800));
    assert_eq!(peer.serial_hex, "8f01ab");
    let digest = digest::digest(&digest::SHA256, &der);
    assert_eq!(peer.fingerprint_sha256, hex(digest.as_ref()));
    assert_eq!(peer.fingerprint_sha256.len(), 64);
}

#[test]
fn names_of_other_kinds_may_stand_beside_the_identity() {
    let beside = vec![dns("localhost"), uri(ID), SanType::IpAddress([127, 0, 0, 1].into())];
    assert_eq!(check_leaf(&with_names(beside)).unwrap().spiffe_id.as_str(), ID);
}

#[test]
fn without_a_uri_there_is_no_identity() {
    let mail = SanType::Rfc822Name("a@mas".try_into().unwrap());
    let other = SanType::OtherName((vec![1, 2, 3], OtherNameValue::Utf8String(ID.to_owned())));
    assert_eq!(check_leaf(&with_names(vec![])), Err(LeafError::MissingSpiffeSan));
    for names in [vec![dns("localhost")], vec![dns(ID)], vec![mail], vec![other]] {
        assert_eq!(code(&with_names(names)), "invalid_spiffe_san");
    }
    let in_subject = mint(|params| {
        params.subject_alt_names = vec![];
        params.distinguished_name.push(DnType::CommonName, ID);
    });
    assert_eq!(code(&in_subject), "missing_spiffe_san");
    let empty_names = mint(|params| {
        params.subject_alt_names = vec![];
        params.custom_extensions.push(raw_extension(SAN_OID, vec![0x30, 0x00], false));
    });
    assert_eq!(code(&empty_names), "missing_spiffe_san");
}

#[test]
fn a_uri_is_written_as_bytes_and_not_as_elements() {
    let with_tag = |tag| {
        let names = element(0x30, &element(tag, ID.as_bytes()));
        mint(|params| {
            params.subject_alt_names = vec![];
            params.custom_extensions.push(raw_extension(SAN_OID, names, false));
        })
    };
    assert_eq!(code(&with_tag(0x86)), "accepted");
    // The same tag with the bit that says that elements are inside, as only BER allows.
    assert_eq!(code(&with_tag(0xa6)), "invalid_certificate");
}

#[test]
fn there_is_exactly_one_uri_and_it_is_a_spiffe_id() {
    for names in [
        vec![uri(ID), uri(ID)],
        vec![uri(ID), uri("spiffe://mas/agent/other")],
        vec![uri(ID), uri("https://mas/agent")],
        vec![uri("https://mas/agent"), uri(ID)],
        vec![uri("https://mas/agent/helpdesk")],
        vec![uri("SPIFFE://mas/agent/helpdesk")],
        vec![uri("spiffe:mas/agent")],
        vec![uri("")],
    ] {
        assert_eq!(code(&with_names(names)), "invalid_spiffe_san");
    }
}

#[test]
fn the_spiffe_id_obeys_the_grammar_and_names_an_agent() {
    for text in [
        "spiffe://",
        "spiffe://mas",
        "spiffe://mas/",
        "spiffe://MAS/agent/a",
        "spiffe://mas/agent//a",
        "spiffe://mas/agent/../a",
        "spiffe://mas:1/agent/a",
        "spiffe://mas/agent/a?b",
        "spiffe://mas/agent/a\n",
    ] {
        assert_eq!(code(&with_names(vec![uri(text)])), "invalid_spiffe_format", "{text}");
    }
}

#[test]
fn odd_encodings_of_the_uri_are_refused() {
    let plain = |_: &mut CertificateParams| {};
    assert_eq!(code(&with_raw_uri(ID.as_bytes(), false, plain)), "accepted");
    for bytes in [
        b"spiffe://mas/agent/a\0b".as_slice(),
        "spiffe://mas/agent/ä".as_bytes(),
        &[b"spiffe://mas/".as_slice(), &b"a".repeat(4000)].concat(),
    ] {
        assert_eq!(code(&with_raw_uri(bytes, false, plain)), "invalid_spiffe_format");
    }
    assert_eq!(code(&with_raw_uri(b"spiffe://mas/\xff", false, plain)), "invalid_spiffe_san");
    let megabyte = [b"spiffe://mas/".as_slice(), &b"a".repeat(1_000_000)].concat();
    assert_eq!(code(&with_raw_uri(&megabyte, false, plain)), "invalid_certificate");
}

#[test]
fn an_unreadable_uri_does_not_hide_beside_a_good_one() {
    let both = [element(0x86, ID.as_bytes()), element(0x86, b"\xff")].concat();
    let der = mint(|params| {
        params.subject_alt_names = vec![];
        params.custom_extensions.push(raw_extension(SAN_OID, element(0x30, &both), false));
    });
    assert_eq!(code(&der), "invalid_spiffe_san");
}

#[test]
fn an_empty_subject_needs_critical_names() {
    let nobody =
        |params: &mut CertificateParams| params.distinguished_name = DistinguishedName::new();
    assert_eq!(code(&with_raw_uri(ID.as_bytes(), true, nobody)), "accepted");
    assert_eq!(
        check_leaf(&with_raw_uri(ID.as_bytes(), false, nobody)),
        Err(LeafError::SanNotCritical)
    );
}

#[test]
fn an_authority_is_not_an_agent() {
    let der = mint(|params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained));
    assert_eq!(check_leaf(&der), Err(LeafError::IsCa));
    assert!(is_authority(&der));
    let explicit = mint(|params| params.is_ca = IsCa::ExplicitNoCa);
    assert_eq!(code(&explicit), "accepted");
    assert!(!is_authority(&explicit));
}

#[test]
fn key_usage_is_that_of_a_leaf() {
    use KeyUsagePurpose::{CrlSign, DigitalSignature, KeyCertSign, KeyEncipherment};

    let both = vec![DigitalSignature, KeyEncipherment];
    assert_eq!(code(&mint(|params| params.key_usages = both)), "accepted");
    for usages in [
        vec![],
        vec![KeyEncipherment],
        vec![DigitalSignature, KeyCertSign],
        vec![DigitalSignature, CrlSign],
        vec![DigitalSignature, KeyCertSign, CrlSign],
    ] {
        let refused = check_leaf(&mint(|params| params.key_usages = usages)).unwrap_err();
        assert!(matches!(refused, LeafError::KeyUsage { .. }), "{refused}");
        assert_eq!(refused.code(), "invalid_certificate");
    }
}

#[test]
fn key_usage_is_critical() {
    let with_criticality = |critical| {
        mint(|params| {
            params.key_usages = vec![];
            let digital_signature = vec![0x03, 0x02, 0x07, 0x80];
            let usage = raw_extension(KEY_USAGE_OID, digital_signature, critical);
            params.custom_extensions.push(usage);
        })
    };
    assert_eq!(code(&with_criticality(true)), "accepted");
    let refused = check_leaf(&with_criticality(false));
    assert_eq!(refused, Err(LeafError::KeyUsage { reason: "it is not critical" }));
}

#[test]
fn extended_key_usage_names_the_use_if_it_is_there() {
    use ExtendedKeyUsagePurpose::{Any, ClientAuth, CodeSigning, ServerAuth};

    for (usages, client, server) in [
        (vec![], true, true),
        (vec![ClientAuth], true, false),
        (vec![ServerAuth], false, true),
        (vec![ServerAuth, ClientAuth], true, true),
        (vec![CodeSigning], false, false),
        (vec![Any], false, false),
    ] {
        let der = mint(|params| params.extended_key_usages = usages);
        for (purpose, accepted) in [(Purpose::Client, client), (Purpose::Server, server)] {
            let verdict = check(&der, purpose).map(|_peer| ());
            assert_eq!(verdict, if accepted { Ok(()) } else { Err(LeafError::ExtendedKeyUsage) });
        }
    }
}

#[test]
fn what_is_not_one_certificate_is_unreadable() {
    let good = mint(|_params| {});
    let trailing = [good.as_slice(), &[0]].concat();
    let cut = &good[..good.len() - 1];
    let twice = mint(|params| {
        let names = element(0x30, &element(0x86, ID.as_bytes()));
        params.custom_extensions.push(raw_extension(SAN_OID, names, false));
    });
    let garbled_constraints = mint(|params| {
        params.custom_extensions.push(raw_extension(CONSTRAINTS_OID, vec![0xff, 0x01], true));
    });
    let pem = b"-----BEGIN CERTIFICATE-----".as_slice();
    for der in [&[], pem, cut, &trailing, &twice, &garbled_constraints, &vec![0x30; 65 * 1024]] {
        assert_eq!(code(der), "invalid_certificate");
    }
}

proptest! {
    #[test]
    fn damaged_certificates_never_panic_and_never_yield_a_malformed_id(
        place in any::<prop::sample::Index>(),
        mask in 1..=255_u8,
        cut in any::<prop::sample::Index>(),
    ) {
        static GOOD: std::sync::LazyLock<Vec<u8>> = std::sync::LazyLock::new(|| mint(|_params| {}));
        prop_assert!(check_leaf(&GOOD[..cut.index(GOOD.len())]).is_err());
        let mut der = GOOD.clone();
        let index = place.index(der.len());
        der[index] ^= mask;
        if let Ok(peer) = check_leaf(&der) {
            // Nobody checked the signature here; but what is accepted is a well-formed ID.
            prop_assert!(SpiffeId::parse(peer.spiffe_id.as_str()).is_ok());
        }
    }
}

#[test]
fn an_intermediate_may_sign_certificates_and_says_so() {
    let authority = |usages: &[KeyUsagePurpose]| {
        mint(|params| {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.key_usages = usages.to_vec();
            params.extended_key_usages = vec![];
            params.subject_alt_names = vec![uri("spiffe://mas")];
        })
    };
    let signing = [KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    assert_eq!(check_intermediate(&authority(&signing), "mas"), Ok(()));
    let other = check_intermediate(&authority(&signing), "other.org");
    assert_eq!(other, Err(SignerError::OtherDomain));
    for usages in [&[][..], &[KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature]] {
        let refused = check_intermediate(&authority(usages), "mas");
        assert_eq!(refused, Err(SignerError::SignsNothing), "{usages:?}");
        // A root is trusted because it was chosen.
        assert_eq!(check_signer(&authority(usages), "mas"), Ok(()));
    }
}
