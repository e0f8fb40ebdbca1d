//! X1, X2, X3, X11 and X13: which names stand in the leaf, and how they are written.

use super::super::certificate::{ALT_NAME, Extension, alt_names, common_name, uri};
use super::super::der::{self, Der};
use super::Expected::{NoHandshake, Served, Unauthenticated};
use super::{Case, ID, case, of_names};

pub(super) fn add(cases: &mut Vec<Case>) {
    one_uri(cases);
    other_kinds(cases);
    path(cases);
    empty_subject(cases);
    encoding(cases);
    structure(cases);
}

fn one_uri(cases: &mut Vec<Case>) {
    let refused = Unauthenticated("invalid_spiffe_san", SEVERAL);
    let nameless = Unauthenticated("missing_spiffe_san", NAMELESS);
    let web = || uri("https://mas/agent/alice");
    let bob = || uri("spiffe://mas/agent/bob");
    cases.push(of_names("X1.one", vec![uri(ID)], Served));
    cases.push(case("X1.no-names", nameless, |mint| mint.show(&mint.leaf().without(ALT_NAME))));
    for (id, names) in [
        ("X1.two-equal", vec![uri(ID), uri(ID)]),
        ("X1.two-different", vec![uri(ID), bob()]),
        ("X1.spiffe-and-https", vec![uri(ID), web()]),
        ("X1.https-and-spiffe", vec![web(), uri(ID)]),
        ("X1.spiffe-and-bytes", vec![uri(ID), uri(b"\xff\xfe")]),
        ("X1.spiffe-and-empty", vec![uri(ID), uri("")]),
        ("X1.between-others", vec![uri(ID), dns(b"alice.example"), uri(ID)]),
    ] {
        cases.push(of_names(id, names, refused));
    }
}

fn other_kinds(cases: &mut Vec<Case>) {
    let nameless = Unauthenticated("missing_spiffe_san", NAMELESS);
    let no_uri = Unauthenticated("invalid_spiffe_san", "none of its names is a URI");
    let others = || vec![dns(b"bob"), mail(), other_name(), address(), directory(), registered()];
    cases.push(of_names("X2.beside-others", [others(), vec![uri(ID)]].concat(), Served));
    cases.push(case("X2.other-common-name", Served, |mint| {
        mint.show(&mint.leaf().subject(common_name("spiffe://mas/agent/bob")))
    }));
    cases.push(case("X2.only-common-name", nameless, |mint| {
        mint.show(&mint.leaf().without(ALT_NAME).subject(common_name(ID)))
    }));
    for (id, name) in [
        ("X2.only-dns", dns(b"alice.mas")),
        ("X2.only-dns-that-looks-so", dns(ID.as_bytes())),
        ("X2.only-mail", mail()),
        ("X2.only-other-name", other_name()),
        ("X2.only-address", address()),
        ("X2.only-directory", directory()),
        ("X2.only-registered", registered()),
    ] {
        cases.push(of_names(id, vec![name], no_uri));
    }
}

fn path(cases: &mut Vec<Case>) {
    let refused = |cause| Unauthenticated("invalid_spiffe_format", cause);
    let (none, slash) = (refused("it has no path"), refused("the path ends with a slash"));
    cases.push(of_names("X3.domain-only", vec![uri("spiffe://mas")], none));
    cases.push(of_names("X3.root-path", vec![uri("spiffe://mas/")], slash));
}

fn empty_subject(cases: &mut Vec<Case>) {
    let names = |is_critical| {
        let value = alt_names(&[uri(ID)]);
        Extension { oid: ALT_NAME, is_critical, value }
    };
    cases.push(case("X11.critical", Served, move |mint| {
        mint.show(&mint.leaf().subject(der::sequence(&[])).with(names(true)))
    }));
    let refused = Unauthenticated("invalid_certificate", "alternative names are not critical");
    cases.push(case("X11.not-critical", refused, move |mint| {
        mint.show(&mint.leaf().subject(der::sequence(&[])).with(names(false)))
    }));
}

fn encoding(cases: &mut Vec<Case>) {
    let format = |cause| Unauthenticated("invalid_spiffe_format", cause);
    let (at_19, at_24) = ("forbidden character at byte 19;", "forbidden character at byte 24;");
    for (id, text, cause) in [
        ("X13.nul-at-the-end", &b"spiffe://mas/agent/alice\0"[..], at_24),
        ("X13.nul-in-the-middle", b"spiffe://mas/agent/alice\0.evil", at_24),
        ("X13.line-feed", b"spiffe://mas/agent/alice\n", at_24),
        ("X13.tab", b"spiffe://mas/agent/\talice", at_19),
        ("X13.delete", b"spiffe://mas/agent/alice\x7f", at_24),
        ("X13.utf8", "spiffe://mas/agent/älice".as_bytes(), at_19),
        ("X13.look-alike", "spiffe://mas/agent/аlice".as_bytes(), at_19),
        ("X13.right-to-left", "spiffe://mas/agent/\u{202e}ecila".as_bytes(), at_19),
    ] {
        cases.push(of_names(id, vec![uri(text)], format(cause)));
    }
    let no_text = Unauthenticated("invalid_spiffe_san", "the URI is not text");
    cases.push(of_names("X13.latin-1", vec![uri(b"spiffe://mas/agent/\xe4lice")], no_text));
    cases.push(of_names("X13.overlong", vec![uri(b"spiffe://mas/agent/\xc1\xa1lice")], no_text));
    let too_long = format("at most 2048 are accepted");
    cases.push(of_names("X13.60-kilobytes", vec![long(60 << 10)], too_long));
    cases.push(of_names("X13.1-megabyte", vec![long(1 << 20)], NoHandshake("TooLarge")));
    let several = Unauthenticated("invalid_spiffe_san", SEVERAL);
    cases.push(of_names("X13.two-thousand", vec![uri(ID); 2_000], several));
}

fn structure(cases: &mut Vec<Case>) {
    let broken = NoHandshake("BadEncoding");
    let good = alt_names(&[uri(ID)]);
    let end = good.len().saturating_sub(1);
    for (id, value) in [
        ("X13.no-sequence", uri(ID)),
        ("X13.cut-short", good.get(..end).unwrap_or_default().to_vec()),
        ("X13.trailing", [good.as_slice(), &[5, 0]].concat()),
        ("X13.nothing", Der::new()),
    ] {
        cases.push(case(id, broken, move |mint| {
            let value = value.clone();
            mint.show(&mint.leaf().with(Extension { oid: ALT_NAME, is_critical: false, value }))
        }));
    }
    // The tag of a URI with the bit that says that elements are inside.
    let broken = Unauthenticated("invalid_certificate", "a URI is not written as text");
    cases.push(of_names("X13.element-inside", vec![der::explicit(6, &der::utf8(ID))], broken));
    cases.push(of_names("X13.constructed", vec![der::explicit(6, ID.as_bytes())], broken));
    cases.push(case("X1.names-twice", NoHandshake("ExtensionValueInvalid"), |mint| {
        let value = alt_names(&[uri("spiffe://mas/agent/bob")]);
        mint.show(&mint.leaf().and(Extension { oid: ALT_NAME, is_critical: false, value }))
    }));
}

fn dns(name: &[u8]) -> Der {
    der::implicit(2, name)
}

fn mail() -> Der {
    der::implicit(1, b"alice@mas")
}

fn address() -> Der {
    der::implicit(7, &[127, 0, 0, 1])
}

fn directory() -> Der {
    der::explicit(4, &common_name(ID))
}

fn registered() -> Der {
    der::implicit(8, &[0x2a, 3])
}

/// A name of a kind that only its maker knows, saying what a SPIFFE ID would.
fn other_name() -> Der {
    let content = [der::oid(&[1, 3, 999, 2]), der::explicit(0, &der::utf8(ID))].concat();
    der::explicit(0, &content)
}

fn long(bytes: usize) -> Der {
    uri(format!("spiffe://mas/agent/{}", "a".repeat(bytes)))
}

const NAMELESS: &str = "it has no alternative names";
const SEVERAL: &str = "there are several URIs";
