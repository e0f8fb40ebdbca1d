//! X9: the chain ends in the bundle of the trust domain that the leaf names, and in no other.

use super::super::certificate::{ALT_NAME, Draft, Extension, alt_names, uri};
use super::super::connect::Shown;
use super::Expected::{NoHandshake, Served, Unauthenticated};
use super::{Case, Mint, PARTNER, case, of_names};

pub(super) fn add(cases: &mut Vec<Case>) {
    cases.push(case("X9.partner", Served, |mint| mint.show_by(&partner(mint), &mint.partner_root)));
    cases.push(case("X9.partner-below-intermediate", Served, |mint| {
        mint.show_by(&partner(mint), &mint.authority().below(&mint.partner_root)?)
    }));
    let unknown = NoHandshake("UnknownIssuer");
    cases.push(case("X9.partner-by-own-authority", unknown, |mint| mint.show(&partner(mint))));
    cases.push(case("X9.partner-by-own-intermediate", unknown, |mint| {
        mint.show_by(&partner(mint), &mint.intermediate)
    }));
    cases.push(case("X9.own-by-partner-authority", unknown, |mint| {
        mint.show_by(&mint.leaf(), &mint.partner_root)
    }));
    cases.push(case("X9.own-by-partner-intermediate", unknown, |mint| {
        mint.show_by(&mint.leaf(), &mint.authority().below(&mint.partner_root)?)
    }));
    cases.push(case("X9.own-by-partner-intermediate-named-so", unknown, |mint| {
        let named = mint.authority().with(domain("spiffe://mas"));
        mint.show_by(&mint.leaf(), &named.below(&mint.partner_root)?)
    }));
    cases.push(case("X9.own-by-partner-with-own-root-shown", unknown, |mint| {
        let Shown { mut chain, key } = mint.show_by(&mint.leaf(), &mint.partner_root)?;
        chain.extend([mint.intermediate.certificate.clone(), mint.root.certificate.clone()]);
        Ok(Shown { chain, key })
    }));
    // The partner's own authority may not call itself one of ours, whomever it signs for.
    let other = NoHandshake("belongs to another trust domain");
    cases.push(case("X9.partner-by-intermediate-of-own-domain", other, |mint| {
        let named = mint.authority().with(domain("spiffe://mas"));
        mint.show_by(&partner(mint), &named.below(&mint.partner_root)?)
    }));
    cases.push(case("X9.own-by-intermediate-of-other-domain", other, |mint| {
        mint.show_below(&mint.authority().with(domain("spiffe://other.org")))
    }));
    let stranger = "spiffe://third.org/billing";
    cases.push(case("X9.unknown-domain-by-partner-authority", unknown, move |mint| {
        mint.show_by(&mint.named(&[uri(stranger)]), &mint.partner_root)
    }));
    let nobody = Unauthenticated("invalid_spiffe_format", "is in another trust domain");
    cases.push(of_names("X9.unknown-domain-by-own-authority", vec![uri(stranger)], nobody));
    // Who is not listed is nobody there either, whatever the form of the name.
    cases.push(case("X9.partner-with-name-of-own-form", nobody, |mint| {
        let named = mint.named(&[uri("spiffe://other.org/agent/alice")]);
        mint.show_by(&named, &mint.partner_root)
    }));
}

fn partner(mint: &Mint) -> Draft {
    mint.named(&[uri(PARTNER)])
}

fn domain(id: &str) -> Extension {
    Extension { oid: ALT_NAME, is_critical: false, value: alt_names(&[uri(id)]) }
}
