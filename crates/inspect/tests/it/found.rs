//! What each built-in type finds in a text, and what it leaves alone.

use crate::support::found;

/// Texts with what must be covered in them.
const FOUND: &[(&str, &str, &str)] = &[
    ("ssn", "ssn 123-45-6789.", "123-45-6789"),
    ("ssn", "it is 123 45 6789 now", "123 45 6789"),
    ("ssn", "SSN: 123456789", "123456789"),
    ("ssn", "social security number is 123456789", "123456789"),
    ("ssn", "user_ssn=123456789", "123456789"),
    ("ssn", "123456789 is her SSN", "123456789"),
    ("ssn", "１２３-４５-６７８９", "１２３-４５-６７８９"),
    ("ssn", "123\u{2011}45\u{2011}6789", "123\u{2011}45\u{2011}6789"),
    ("ssn", "12\u{200b}3-45-6789", "12\u{200b}3-45-6789"),
    ("email", "write to jane.doe+x@mail.example.com, please", "jane.doe+x@mail.example.com"),
    ("email", "josé@example.org", "josé@example.org"),
    ("phone", "call 555-123-4567", "555-123-4567"),
    ("phone", "(555) 123-4567", "(555) 123-4567"),
    ("phone", "+1 555.123.4567", "+1 555.123.4567"),
    ("phone", "+14155552671", "+14155552671"),
    ("phone", "+44 20 7946 0958", "+44 20 7946 0958"),
    ("phone", "phone: 4155552671", "4155552671"),
    ("mrn", "MRN: 12345678", "12345678"),
    ("mrn", "mrn #123456", "123456"),
    ("mrn", "Medical Record 1234567", "1234567"),
    ("mrn", "medical record number: 1234567890", "1234567890"),
    ("health_insurance", "Health Insurance: 123456789", "123456789"),
    ("health_insurance", "health insurance id 12345678", "12345678"),
    ("health_insurance", "Policy #123456789", "123456789"),
    ("health_insurance", "policy number 20240131", "20240131"),
    ("health_insurance", "Policy: 987654321", "987654321"),
    ("icd10", "she has E11.9", "E11.9"),
    ("icd10", "code S72.001A today", "S72.001A"),
    ("icd10", "diagnosis: B12", "B12"),
    ("icd10", "ICD-10 code I10", "I10"),
    ("credit_card", "4111111111111111", "4111111111111111"),
    ("credit_card", "4111 1111 1111 1111", "4111 1111 1111 1111"),
    ("credit_card", "4111-1111-1111-1111", "4111-1111-1111-1111"),
    ("credit_card", "4111.1111.1111.1111", "4111.1111.1111.1111"),
    ("credit_card", "4111 - 1111 - 1111 - 1111", "4111 - 1111 - 1111 - 1111"),
    ("credit_card", "378282246310005", "378282246310005"),
    ("credit_card", "3782 822463 10005", "3782 822463 10005"),
    ("credit_card", "5555555555554444", "5555555555554444"),
    ("credit_card", "2223003122003222", "2223003122003222"),
    ("credit_card", "6011111111111117", "6011111111111117"),
    ("credit_card", "card_4111111111111111_end", "4111111111111111"),
    ("credit_card", "4000 4111 1111 1111 1111", "4111 1111 1111 1111"),
    ("credit_card", "４１１１１１１１１１１１１１１１", "４１１１１１１１１１１１１１１１"),
    ("cvv", "CVV 123", "123"),
    ("cvv", "cvc: 1234", "1234"),
    ("cvv", "cvv2 is 123", "123"),
    ("api_key", "api_key=abcdefghijklmnopqrstuvwxyz012345", "abcdefghijklmnopqrstuvwxyz012345"),
    ("api_key", "apikey: 'a1b2c3d4e5f6a7b8c9d0'", "a1b2c3d4e5f6a7b8c9d0"),
    ("api_key", "api-key abcd1234abcd1234abcd1234abcd1234", "abcd1234abcd1234abcd1234abcd1234"),
    ("aws_key", "AKIAIOSFODNN7EXAMPLE", "AKIAIOSFODNN7EXAMPLE"),
    ("aws_key", "key_ASIAIOSFODNN7EXAMPLE", "ASIAIOSFODNN7EXAMPLE"),
    ("jwt", "Bearer eyJhbGciOi.eyJzdWIiOi.c2ln-_", "eyJhbGciOi.eyJzdWIiOi.c2ln-_"),
    ("password", "password=hunter2222", "hunter2222"),
    ("password", "Password: s3cr3t!x, bye", "s3cr3t!x"),
    ("password", "db_passwd := Tr0ub4dor", "Tr0ub4dor"),
    ("password", "the password is hunter2222.", "hunter2222"),
    ("password", r#"{"password": "hunter2222"}"#, "hunter2222"),
    ("password", r#"{\"password\": \"hunter2222\"}"#, "hunter2222"),
];

/// Texts that look like something and are not, some with what they do contain.
const LEFT_ALONE: &[&str] = &[
    "123456789",
    "000-12-3456 666-12-3456 900-12-3456 123-00-4567 123-45-0000",
    "123-45 6789",
    "0.123-45-6789",
    "1777965382",
    "ts 1777965382000",
    "order 2024-01-31-1234",
    "call me maybe",
    "555-123-4567-8901",
    "icon@2x.png",
    "react@18.2.0",
    "Room B12, gate A10",
    "vitamin B12",
    "version 1.2.3",
    "password expires tomorrow",
    "password: required",
    "your password is incorrect",
    "password: <your-password1>",
    "password=${DB_PASSWORD_1}",
    "password: ********",
    "password: [REDACTED PASSWORD]",
    "https://example.com/reset-password?next=1",
    "policy 20240131",
    "policy: 20240131",
    "4111111111111112",
    "41111111-1111-4111-8111-111111111111",
    "0.4111111111111111",
    "4111111111111111.25",
    "x4111111111111111",
    "d41d8cd98f004111111111111111e980",
    "api key rotation procedure for everybody",
    "the cvv is on the back",
    "AKIAIOSFODNN7EXAMPL",
    "eyJhbGciOi.notajwt",
    "-----BEGIN PUBLIC KEY-----",
    "-----BEGIN CERTIFICATE-----",
];

#[test]
fn each_type_covers_what_it_should() {
    for (kind, text, covered) in FOUND {
        let all = found(text);
        let expected = ((*kind).to_owned(), (*covered).to_owned());
        assert!(all.contains(&expected), "{kind} in {text:?}: {all:?}");
    }
}

#[test]
fn look_alikes_are_left_alone() {
    for text in LEFT_ALONE {
        assert_eq!(found(text), [], "{text:?}");
    }
}

#[test]
fn private_keys_are_covered_to_their_last_line() {
    for name in ["", "RSA ", "EC ", "DSA ", "OPENSSH ", "ENCRYPTED "] {
        let key =
            format!("-----BEGIN {name}PRIVATE KEY-----\nabc\n-----END {name}PRIVATE KEY-----");
        assert_eq!(found(&format!("a {key} b")), [("private_key".to_owned(), key)]);
    }
    let block = "-----BEGIN PGP PRIVATE KEY BLOCK-----\nabc";
    assert_eq!(found(block), [("private_key".to_owned(), block.to_owned())]);
}

#[test]
fn a_shorter_match_inside_a_longer_one_is_not_counted_twice() {
    let all = found("password=jane@example.com1 and 1-555-123-4567");
    let kinds: Vec<&str> = all.iter().map(|(kind, _)| kind.as_str()).collect();
    assert_eq!(kinds, ["password", "phone"]);
}

#[test]
fn offsets_are_characters() {
    let all = crate::support::default_policy().scan_text("é😀 123-45-6789");
    let spans: Vec<_> = all.iter().map(|one| (one.start, one.end)).collect();
    assert_eq!(spans, [(3, 14)]);
}

#[test]
fn control_characters_that_the_scanner_uses_itself_hide_nothing() {
    assert_eq!(found("\u{1f}123-45-6789\u{1e}").len(), 1);
    assert_eq!(found("password\u{1e}hunter2222"), []);
}
