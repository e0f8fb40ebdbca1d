//! X4 to X7: what the leaf's key may be used for.

use super::super::certificate::{
    AGREE, ANY_USAGE, CLIENT_AUTH, CODE_SIGNING, ENCIPHER, EXTENDED_USAGE, Extension, KEY_USAGE,
    SERVER_AUTH, SIGN, SIGN_CERTIFICATES, SIGN_LISTS, constraints,
};
use super::super::connect::Shown;
use super::super::der;
use super::Expected::{NoHandshake, Served, Unauthenticated};
use super::{Case, case};

pub(super) fn add(cases: &mut Vec<Case>) {
    authority(cases);
    key_usage(cases);
    extended_usage(cases);
}

fn authority(cases: &mut Vec<Case>) {
    cases.push(case("X4.no-authority", Served, |mint| {
        mint.show(&mint.leaf().with(constraints(false, None)))
    }));
    let refused = NoHandshake("CaUsedAsEndEntity");
    cases.push(case("X4.authority", refused, |mint| {
        mint.show(&mint.leaf().with(constraints(true, None)))
    }));
    cases.push(case("X4.root-itself", refused, |mint| {
        let chain = vec![mint.root.certificate.clone()];
        Ok(Shown { chain, key: mint.root.key.clone() })
    }));
    cases.push(case("X4.twice", NoHandshake("ExtensionValueInvalid"), |mint| {
        let leaf = mint.leaf().with(constraints(false, None));
        mint.show(&leaf.and(constraints(false, None)))
    }));
}

fn key_usage(cases: &mut Vec<Case>) {
    let refused = |cause| Unauthenticated("invalid_certificate", cause);
    let signs = refused("it allows signing certificates or revocation lists");
    let idle = refused("it does not allow digital signatures");
    for (id, is_critical, numbers, expected) in [
        ("X5.sign-certificates", true, &[SIGN, SIGN_CERTIFICATES][..], signs),
        ("X5.sign-lists", true, &[SIGN, SIGN_LISTS], signs),
        ("X5.sign-both", true, &[SIGN, SIGN_CERTIFICATES, SIGN_LISTS], signs),
        ("X6.more", true, &[SIGN, ENCIPHER, AGREE], Served),
        ("X6.not-critical", false, &[SIGN], refused("it is not critical")),
        ("X6.only-encipher", true, &[ENCIPHER], idle),
        ("X6.nothing", true, &[], idle),
    ] {
        cases.push(case(id, expected, move |mint| {
            mint.show(&mint.leaf().key_usage(is_critical, numbers))
        }));
    }
    let absent = refused("key usage is not that of an agent: it is absent");
    cases.push(case("X6.absent", absent, |mint| mint.show(&mint.leaf().without(KEY_USAGE))));
    cases.push(case("X6.malformed", refused("an extension is malformed"), |mint| {
        let value = der::boolean(true);
        mint.show(&mint.leaf().with(Extension { oid: KEY_USAGE, is_critical: true, value }))
    }));
    cases.push(case("X6.twice", NoHandshake("ExtensionValueInvalid"), |mint| {
        let value = der::named_bits(&[SIGN]);
        mint.show(&mint.leaf().and(Extension { oid: KEY_USAGE, is_critical: true, value }))
    }));
}

fn extended_usage(cases: &mut Vec<Case>) {
    let refused = NoHandshake("does not allow extended key usage");
    for (id, usages, expected) in [
        ("X7.both", &[SERVER_AUTH, CLIENT_AUTH][..], Served),
        ("X7.client-only", &[CLIENT_AUTH], Served),
        ("X7.with-others", &[CODE_SIGNING, CLIENT_AUTH, SERVER_AUTH], Served),
        ("X7.server-only", &[SERVER_AUTH], refused),
        ("X7.code-only", &[CODE_SIGNING], refused),
        ("X7.any-only", &[ANY_USAGE], refused),
    ] {
        cases.push(case(id, expected, move |mint| mint.show(&mint.leaf().extended_usage(usages))));
    }
    cases.push(case("X7.absent", Served, |mint| mint.show(&mint.leaf().without(EXTENDED_USAGE))));
    cases.push(case("X7.empty", NoHandshake("EmptyEkuExtension"), |mint| {
        mint.show(&mint.leaf().extended_usage(&[]))
    }));
    cases.push(case("X7.malformed", NoHandshake("BadEncoding"), |mint| {
        let value = der::boolean(true);
        mint.show(&mint.leaf().with(Extension { oid: EXTENDED_USAGE, is_critical: false, value }))
    }));
}
