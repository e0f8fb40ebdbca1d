//! The grammar row by row, at each border and just inside.

use proptest::prelude::*;

use super::*;

const TRUST_DOMAIN_AT: usize = SCHEME.len();

fn refusal(text: &str) -> SpiffeIdError {
    SpiffeId::parse(text).expect_err(text)
}

#[test]
fn valid_ids_are_taken_apart() {
    let longest_domain = "d".repeat(255);
    let longest_path = format!("/{}", "p".repeat(ID_BYTES_MAX - SCHEME.len() - 3));
    for (domain, path) in [
        ("mas", "/agent/helpdesk"),
        ("td", ""),
        ("10.0.0.1", "/a"),
        ("a-b_c.d9", "/A.b-c_9/..."),
        ("td", "/..a/.b"),
        ("td", longest_path.as_str()),
        (longest_domain.as_str(), "/a"),
    ] {
        let text = format!("spiffe://{domain}{path}");
        let id = SpiffeId::parse(&text).expect(&text);
        assert_eq!((id.trust_domain(), id.path(), id.as_str()), (domain, path, text.as_str()));
        assert_eq!((id.to_string(), text.parse()), (text.clone(), Ok(id)));
    }
}

#[test]
fn only_the_scheme_in_lower_case_is_accepted() {
    for text in ["", "spiffe", "https://td/a", "spiffe:td/a", "SPIFFE://td/a", " spiffe://td/a"] {
        assert_eq!(refusal(text), SpiffeIdError::Scheme, "{text}");
    }
}

#[test]
fn trust_domain_is_present_lower_case_and_bounded() {
    assert_eq!(refusal("spiffe://"), SpiffeIdError::TrustDomainEmpty);
    assert_eq!(refusal("spiffe:///a"), SpiffeIdError::TrustDomainEmpty);
    let too_long = format!("spiffe://{}/a", "d".repeat(256));
    assert_eq!(refusal(&too_long), SpiffeIdError::TrustDomainTooLong { bytes: 256 });
    for (text, offset) in [
        ("spiffe://TD/a", 0),
        ("spiffe://t%64/a", 1),
        ("spiffe://tdé/a", 2),
        ("spiffe://u@td/a", 1),
        ("spiffe://td:443/a", 2),
        ("spiffe://td?x", 2),
        ("spiffe://td#x", 2),
        ("spiffe://t d/a", 1),
        ("spiffe://td\n", 2),
        ("spiffe://t\0d/a", 1),
    ] {
        let at = TRUST_DOMAIN_AT + offset;
        assert_eq!(refusal(text), SpiffeIdError::TrustDomainCharacter { at }, "{text}");
    }
}

#[test]
fn path_segments_are_plain_and_not_empty() {
    use SpiffeIdError::{EmptySegment, PathCharacter, RelativeSegment, TrailingSlash};

    // `spiffe://td` has 11 bytes, so a path begins at offset 11.
    for (text, expected) in [
        ("spiffe://td/", TrailingSlash),
        ("spiffe://td/a/", TrailingSlash),
        ("spiffe://td//a", EmptySegment { at: 12 }),
        ("spiffe://td/a//b", EmptySegment { at: 14 }),
        ("spiffe://td/.", RelativeSegment { at: 12 }),
        ("spiffe://td/a/.", RelativeSegment { at: 14 }),
        ("spiffe://td/a/../b", RelativeSegment { at: 14 }),
        ("spiffe://td/a%2fb", PathCharacter { at: 13 }),
        ("spiffe://td/a b", PathCharacter { at: 13 }),
        ("spiffe://td/ä", PathCharacter { at: 12 }),
        ("spiffe://td/a?x", PathCharacter { at: 13 }),
        ("spiffe://td/a#x", PathCharacter { at: 13 }),
        ("spiffe://td/a\n", PathCharacter { at: 13 }),
        ("spiffe://td/a\0", PathCharacter { at: 13 }),
        ("spiffe://td/a:1", PathCharacter { at: 13 }),
    ] {
        assert_eq!(refusal(text), expected, "{text}");
    }
}

#[test]
fn an_id_has_at_most_2048_bytes() {
    let of_length = |bytes: usize| format!("spiffe://td/{}", "p".repeat(bytes - 12));
    assert!(SpiffeId::parse(&of_length(2048)).is_ok());
    assert_eq!(refusal(&of_length(2049)), SpiffeIdError::TooLong { bytes: 2049 });
}

#[test]
fn errors_do_not_repeat_the_text() {
    for text in ["secret://x", "spiffe://SECRET/a", "spiffe://td/SECRET secret"] {
        assert!(!refusal(text).to_string().to_lowercase().contains("secret"), "{text}");
    }
}

fn agents() -> IdPattern {
    IdPattern::new("mas", "/agent/{agent_id}").unwrap()
}

#[test]
fn a_pattern_takes_the_name_out_and_puts_it_in() {
    for name in ["a", "helpdesk", "A-b_9", &"n".repeat(64)] {
        let id = agents().format(name).unwrap();
        assert_eq!(id.as_str(), format!("spiffe://mas/agent/{name}"));
        assert_eq!(agents().extract(&id), Some(name));
    }
    let inner = IdPattern::new("td", "/ns/{name}/sa").unwrap();
    assert_eq!(inner.extract(&SpiffeId::parse("spiffe://td/ns/x/sa").unwrap()), Some("x"));
    assert_eq!(inner.to_string(), "spiffe://td/ns/{name}/sa");
    let first = IdPattern::new("td", "/{name}").unwrap();
    assert_eq!(first.format("x").unwrap().path(), "/x");
}

#[test]
fn a_pattern_refuses_ids_of_another_form() {
    let too_long = format!("spiffe://mas/agent/{}", "n".repeat(65));
    for text in [
        "spiffe://other/agent/a",
        "spiffe://mas.other/agent/a",
        "spiffe://mas",
        "spiffe://mas/agent",
        "spiffe://mas/agents/a",
        "spiffe://mas/Agent/a",
        "spiffe://mas/agent/a/b",
        "spiffe://mas/x/agent/a",
        "spiffe://mas/agent/a.b",
        too_long.as_str(),
    ] {
        assert_eq!(agents().extract(&SpiffeId::parse(text).unwrap()), None, "{text}");
    }
    let inner = IdPattern::new("td", "/a/{name}/a").unwrap();
    assert_eq!(inner.extract(&SpiffeId::parse("spiffe://td/a/a").unwrap()), None);
}

#[test]
fn a_pattern_formats_only_names() {
    for name in ["", "a/b", "a.b", "..", "a\n", "ä", &"n".repeat(65)] {
        assert_eq!(agents().format(name), Err(IdPatternError::Name), "{name}");
    }
}

#[test]
fn a_pattern_needs_exactly_one_whole_placeholder() {
    for path in [
        "/agent",
        "/agent/{}",
        "/agent/x{id}",
        "/agent/{id}x",
        "/{a}/{b}",
        "/agent/{id",
        "/agent/id}",
        "/agent/{Id}",
        "/agent/{{id}}",
    ] {
        assert_eq!(IdPattern::new("mas", path), Err(IdPatternError::Placeholder), "{path}");
    }
}

#[test]
fn the_literal_parts_of_a_pattern_obey_the_grammar() {
    let domain = IdPattern::new("MAS", "/agent/{id}").unwrap_err();
    assert!(matches!(domain, IdPatternError::TrustDomain(_)));
    let long = format!("/{}/{{id}}", "p".repeat(2000));
    for path in ["//{id}", "/a b/{id}", "/../{id}", "/{id}/", "/{id}/}", &long] {
        let refused = IdPattern::new("mas", path).unwrap_err();
        assert!(matches!(refused, IdPatternError::Path(_)), "{path}");
    }
    for path in ["", "{id}", "agent/{id}"] {
        assert_eq!(IdPattern::new("mas", path), Err(IdPatternError::NoSlash), "{path}");
    }
}

proptest! {
    #[test]
    fn parsing_never_panics(text in "\\PC*") {
        let _verdict = SpiffeId::parse(&text).is_ok();
        let _verdict = SpiffeId::parse(&format!("spiffe://{text}")).is_ok();
        let _verdict = IdPattern::new("mas", &text).is_ok();
    }

    #[test]
    fn accepted_ids_round_trip(text in "spiffe://[a-z0-9._:@-]{0,9}(/[a-zA-Z0-9._%-]{0,4}){0,4}") {
        if let Ok(id) = SpiffeId::parse(&text) {
            prop_assert_eq!(id.as_str(), text.as_str());
            let rebuilt = format!("spiffe://{}{}", id.trust_domain(), id.path());
            prop_assert_eq!(SpiffeId::parse(&rebuilt), Ok(id));
        }
    }

    #[test]
    fn every_name_survives_a_pattern(name in "[A-Za-z0-9_-]{1,64}") {
        let id = agents().format(&name).unwrap();
        prop_assert_eq!(agents().extract(&id), Some(name.as_str()));
    }
}
