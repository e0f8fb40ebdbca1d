//! X8, X10 and X12: the way from the leaf to what the gate trusts, and its dates.

use super::super::certificate::{
    ALT_NAME, CONSTRAINTS, Draft, Extension, Flaw, KEY_USAGE, SIGN, SIGN_LISTS, UNKNOWN, alt_names,
    common_name, constraints, permitted, uri,
};
use super::super::connect::Shown;
use super::super::der;
use super::super::keys::{Digest, Key};
use super::Expected::{NoHandshake, Served, Unauthenticated};
use super::{Case, ID, case};
use crate::site::unix_now;

pub(super) fn add(cases: &mut Vec<Case>) {
    good(cases);
    dates(cases);
    issuers(cases);
    signatures(cases);
    intermediates(cases);
    extensions(cases);
    signing_identities(cases);
    name_constraints(cases);
}

fn good(cases: &mut Vec<Case>) {
    cases.push(case("X8.one-intermediate", Served, |mint| {
        mint.show_by(&mint.leaf(), &mint.intermediate)
    }));
    cases.push(case("X8.two-intermediates", Served, |mint| {
        let second = mint.authority().with(constraints(true, Some(0)));
        mint.show_by(&mint.leaf(), &second.below(&mint.intermediate)?)
    }));
    cases.push(case("X8.root-shown-too", Served, |mint| {
        let mut shown = mint.show_by(&mint.leaf(), &mint.intermediate)?;
        shown.chain.push(mint.root.certificate.clone());
        Ok(shown)
    }));
    cases.push(case("X8.rsa-2048-leaf", Served, |mint| {
        let key = Key::rsa_2048()?;
        Ok(Shown { chain: vec![mint.leaf().sign(&key, &mint.root)?], key })
    }));
    cases.push(case("X8.rsa-2048-root", Served, |mint| mint.show_by(&mint.leaf(), &mint.rsa_root)));
}

fn dates(cases: &mut Vec<Case>) {
    let (expired, early) = (NoHandshake("expired"), NoHandshake("not valid yet"));
    for (id, from, to, expected) in [
        ("X8.expired", -7_200, -3_600, expired),
        ("X8.not-yet-valid", 3_600, 7_200, early),
        ("X8.ends-before-it-begins", 3_600, -3_600, NoHandshake("Expired")),
        ("X12.ended-a-second-ago", -3_600, -1, expired),
        ("X12.ends-in-a-minute", -3_600, 60, Served),
        ("X12.began-a-second-ago", -1, 3_600, Served),
        // Not one second: the machine may take that long to ask.
        ("X12.begins-in-five-seconds", 5, 3_600, early),
    ] {
        cases.push(case(id, expected, move |mint| {
            let now = unix_now();
            mint.show(&mint.leaf().valid(now + from, now + to))
        }));
    }
    cases.push(case("X8.intermediate-expired", expired, |mint| {
        let now = unix_now();
        mint.show_below(&mint.authority().valid(now - 7_200, now - 3_600))
    }));
    cases.push(case("X8.intermediate-not-yet-valid", early, |mint| {
        let now = unix_now();
        mint.show_below(&mint.authority().valid(now + 3_600, now + 7_200))
    }));
}

fn issuers(cases: &mut Vec<Case>) {
    let unknown = NoHandshake("UnknownIssuer");
    cases.push(case("X8.unknown-issuer", unknown, |mint| {
        mint.show_by(&mint.leaf(), &mint.authority().root(Key::ecdsa()?)?)
    }));
    cases.push(case("X8.unknown-issuer-shown", unknown, |mint| {
        let stranger = mint.authority().root(Key::ecdsa()?)?;
        let mut shown = mint.show_by(&mint.leaf(), &stranger)?;
        shown.chain.push(stranger.certificate);
        Ok(shown)
    }));
    cases.push(case("X8.other-issuer-named", unknown, |mint| {
        mint.show(&mint.leaf().issuer(common_name("nobody")))
    }));
    cases.push(case("X8.intermediate-not-shown", unknown, |mint| {
        let mut shown = mint.show_by(&mint.leaf(), &mint.intermediate)?;
        shown.chain.truncate(1);
        Ok(shown)
    }));
    cases.push(case("X8.self-signed", unknown, |mint| {
        let chain = vec![mint.leaf().self_signed(&mint.key)?];
        Ok(Shown { chain, key: mint.key.clone() })
    }));
    // Whoever signs, the name of the trusted root says nothing without its key.
    cases.push(case("X8.root-by-name-only", NoHandshake("BadSignature"), |mint| {
        mint.show_by(&mint.leaf(), &Draft::authority(unix_now(), "root").root(Key::ecdsa()?)?)
    }));
    cases.push(case("X8.self-signed-as-root", NoHandshake("BadSignature"), |mint| {
        let leaf = mint.leaf().subject(mint.root.name.clone());
        Ok(Shown { chain: vec![leaf.self_signed(&mint.key)?], key: mint.key.clone() })
    }));
}

fn signatures(cases: &mut Vec<Case>) {
    for (id, flaw, cause) in [
        ("X8.bad-signature", Flaw::Signature, "BadSignature"),
        ("X8.two-algorithms", Flaw::Algorithm, "SignatureAlgorithmMismatch"),
        ("X8.trailing-bytes", Flaw::Trailing, "BadEncoding"),
        ("X8.version-1", Flaw::Version1, "UnsupportedCertVersion"),
        ("X8.long-length", Flaw::LongLength, "BadEncoding"),
    ] {
        cases.push(case(id, NoHandshake(cause), move |mint| mint.show(&mint.leaf().flaw(flaw))));
    }
    cases.push(case("X8.sha-1", NoHandshake("UnsupportedSignatureAlgorithm"), |mint| {
        mint.show_by(&mint.leaf().digest(Digest::Sha1), &mint.rsa_root)
    }));
    cases.push(case("X8.rsa-1024-leaf", NoHandshake("BadSignature"), |mint| {
        let key = Key::rsa_1024()?;
        Ok(Shown { chain: vec![mint.leaf().sign(&key, &mint.root)?], key })
    }));
    cases.push(case("X8.rsa-1024-intermediate", NoHandshake("BadSignature"), |mint| {
        let weak = mint.authority().below_with(Key::rsa_1024()?, &mint.root)?;
        mint.show_by(&mint.leaf(), &weak)
    }));
    // Certificates are public: who shows one must have its key.
    cases.push(case("X8.key-of-another", NoHandshake("BadSignature"), |mint| {
        let shown = mint.show(&mint.leaf())?;
        Ok(Shown { key: Key::ecdsa()?, ..shown })
    }));
}

fn intermediates(cases: &mut Vec<Case>) {
    let no_authority = NoHandshake("EndEntityUsedAsCa");
    cases.push(case("X8.intermediate-no-authority", no_authority, |mint| {
        mint.show_below(&mint.authority().with(constraints(false, None)))
    }));
    cases.push(case("X8.intermediate-says-nothing", no_authority, |mint| {
        mint.show_below(&mint.authority().without(CONSTRAINTS))
    }));
    cases.push(case("X8.leaf-below-a-leaf", no_authority, |mint| {
        mint.show_below(&mint.named(&[uri("spiffe://mas/agent/bob")]))
    }));
    cases.push(case("X8.path-too-long", NoHandshake("PathLen"), |mint| {
        let first = mint.authority().with(constraints(true, Some(0))).below(&mint.root)?;
        let second = Draft::authority(unix_now(), "second").below(&first)?;
        mint.show_by(&mint.leaf(), &second)
    }));
    let keeps_from_signing = NoHandshake("does not allow it to sign certificates");
    cases.push(case("X8.intermediate-may-not-sign", keeps_from_signing, |mint| {
        mint.show_below(&mint.authority().key_usage(true, &[SIGN, SIGN_LISTS]))
    }));
    cases.push(case("X8.intermediate-without-usage", keeps_from_signing, |mint| {
        mint.show_below(&mint.authority().without(KEY_USAGE))
    }));
    cases.push(case("X8.intermediate-trailing-bytes", NoHandshake("BadEncoding"), |mint| {
        mint.show_below(&mint.authority().flaw(Flaw::Trailing))
    }));
    cases.push(case("X8.intermediate-bad-signature", NoHandshake("BadSignature"), |mint| {
        mint.show_below(&mint.authority().flaw(Flaw::Signature))
    }));
}

fn extensions(cases: &mut Vec<Case>) {
    let unknown = |is_critical| Extension { oid: UNKNOWN, is_critical, value: der::boolean(true) };
    let refused = NoHandshake("UnsupportedCriticalExtension");
    cases.push(case("X8.unknown-extension", Served, move |mint| {
        mint.show(&mint.leaf().with(unknown(false)))
    }));
    cases.push(case("X8.unknown-critical-extension", refused, move |mint| {
        mint.show(&mint.leaf().with(unknown(true)))
    }));
    cases.push(case("X8.intermediate-unknown-extension", Served, move |mint| {
        mint.show_below(&mint.authority().with(unknown(false)))
    }));
    cases.push(case("X8.intermediate-unknown-critical", refused, move |mint| {
        mint.show_below(&mint.authority().with(unknown(true)))
    }));
    let twice = Unauthenticated("invalid_certificate", "an extension stands there twice");
    cases.push(case("X8.extension-twice", twice, move |mint| {
        mint.show(&mint.leaf().and(unknown(false)).and(unknown(false)))
    }));
}

fn signing_identities(cases: &mut Vec<Case>) {
    let named = |id: &'static str| Extension {
        oid: ALT_NAME,
        is_critical: false,
        value: alt_names(&[uri(id)]),
    };
    cases.push(case("X10.domain", Served, move |mint| {
        mint.show_below(&mint.authority().with(named("spiffe://mas")))
    }));
    let refused = NoHandshake("not the ID of a trust domain");
    cases.push(case("X10.path", refused, move |mint| {
        mint.show_below(&mint.authority().with(named(ID)))
    }));
    cases.push(case("X10.root-path", refused, move |mint| {
        mint.show_below(&mint.authority().with(named("spiffe://mas/")))
    }));
    cases.push(case("X10.as-leaf", NoHandshake("CaUsedAsEndEntity"), |mint| {
        let chain = mint.intermediate.chain.clone();
        Ok(Shown { chain, key: mint.intermediate.key.clone() })
    }));
    cases.push(case("X10.as-leaf-with-path", NoHandshake("CaUsedAsEndEntity"), move |mint| {
        let named = mint.authority().with(named(ID)).below(&mint.root)?;
        Ok(Shown { chain: named.chain, key: named.key })
    }));
}

fn name_constraints(cases: &mut Vec<Case>) {
    cases.push(case("X8.constrained-dns", Served, |mint| {
        mint.show_below(&mint.authority().with(permitted(&der::implicit(2, b"example.org"))))
    }));
    // The chain check cannot tell whether a URI obeys, and so refuses both; an authority that is
    // constrained to other names must not become one for ours.
    let refused = NoHandshake("NameConstraintViolation");
    cases.push(case("X8.constrained-uri-obeyed", refused, |mint| {
        mint.show_below(&mint.authority().with(permitted(&uri("mas"))))
    }));
    cases.push(case("X8.constrained-uri-abused", refused, |mint| {
        mint.show_below(&mint.authority().with(permitted(&uri("other.org"))))
    }));
    cases.push(case("X8.constrained-root-abused", refused, |mint| {
        mint.show_by(&mint.leaf(), &mint.constrained_root)
    }));
}
