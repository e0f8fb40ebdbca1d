//! What patterns match, and which texts are refused as patterns.

use proptest::prelude::*;

use super::{BadPattern, Pattern, check};

#[test]
fn patterns_match_as_the_table_says() {
    let table = [
        ("*", "", true),
        ("*", "send:billing", true),
        ("**", "x", true),
        ("send:billing", "send:billing", true),
        ("send:billing", "send:billing2", false),
        ("send:billing", "xsend:billing", false),
        ("send:billing", "send:Billing", false),
        ("send:billing-*", "send:billing-", true),
        ("send:billing-*", "send:billing-eu-1", true),
        ("send:billing-*", "send:billing", false),
        ("send:*-eu", "send:a-eu", true),
        ("send:*-eu", "send:a-eu-1", false),
        ("*:billing", "reply:billing", true),
        ("send:*mid*", "send:amidb", true),
        ("send:*mid*", "send:amib", false),
        ("a*b*b", "ab", false),
        ("a*b*b", "abb", true),
        ("ab*ba", "aba", false),
        ("ab*ba", "abba", true),
        ("*a*b*", "ba", false),
        ("send:a.c", "send:abc", false),
        ("send:a?c", "send:abc", false),
        ("send:[ab]", "send:a", false),
        ("send:\\*", "send:*", false),
        ("send:é*", "send:élan", true),
        ("", "", true),
        ("", "x", false),
    ];
    for (pattern, text, expected) in table {
        assert_eq!(Pattern::new(pattern).matches(text), expected, "{pattern:?} on {text:?}");
    }
}

#[test]
fn senseless_patterns_are_refused_with_the_reason() {
    let table = [
        ("", Err(BadPattern::Empty)),
        (&"*".repeat(513) as &str, Err(BadPattern::TooLong)),
        ("send:a b", Err(BadPattern::Blank)),
        ("send:a\n", Err(BadPattern::Blank)),
        ("sned:a", Err(BadPattern::UnknownAction)),
        ("send", Err(BadPattern::UnknownAction)),
        ("send:", Err(BadPattern::UnknownAction)),
        ("sned:*", Err(BadPattern::UnknownAction)),
        ("billing*", Err(BadPattern::UnknownAction)),
        ("Send:a", Err(BadPattern::UnknownAction)),
        ("*", Ok(())),
        ("s*", Ok(())),
        ("send*", Ok(())),
        ("*:a", Ok(())),
        ("send:*", Ok(())),
        ("reply:a", Ok(())),
        ("request:a*", Ok(())),
        ("discover:a", Ok(())),
    ];
    for (text, expected) in table {
        assert_eq!(check(text), expected, "{text:?}");
    }
}

#[test]
fn hostile_patterns_stay_cheap() {
    let pattern = Pattern::new(&"a*".repeat(256));
    assert!(!pattern.matches(&"a".repeat(255)), "one `a` short of the pattern's");
    assert!(pattern.matches(&"a".repeat(100_000)));
    assert!(
        !Pattern::new(&["a*".repeat(250).as_str(), "b"].concat()).matches(&"a".repeat(100_000))
    );
}

/// Says what a match is by trying every split: slow and plainly right.
fn naive(pattern: &[char], text: &[char]) -> bool {
    match pattern.split_first() {
        None => text.is_empty(),
        Some(('*', rest)) => (0..=text.len()).any(|skipped| naive(rest, &text[skipped..])),
        Some((c, rest)) => text.first() == Some(c) && naive(rest, &text[1..]),
    }
}

proptest! {
    #[test]
    fn matching_agrees_with_trying_every_split(pattern in "[ab*é]{0,7}", text in "[abé]{0,9}") {
        let expected = naive(
            &pattern.chars().collect::<Vec<_>>(),
            &text.chars().collect::<Vec<_>>(),
        );
        prop_assert_eq!(Pattern::new(&pattern).matches(&text), expected);
    }
}
