//! What the structure of a document adds: escapes, keys, numbers.

use inspect::Outcome;

use crate::support::{inspected, places};

#[test]
fn secrets_right_after_an_escape_are_found() {
    for escape in [r"\n", r"\t", r"\r", r"\u00e9", r"\u000a", r"\\", r"\u2028", "é"] {
        for (secret, kind) in [
            ("123-45-6789", "ssn"),
            ("AKIAIOSFODNN7EXAMPLE", "aws_key"),
            ("4111 1111 1111 1111", "credit_card"),
            ("MRN: 12345678", "mrn"),
        ] {
            let json = format!("{{\"t\":\"key:{escape}{secret}\"}}");
            assert_eq!(places(&json), [format!("{kind} t")], "{json}");
        }
    }
    assert_eq!(places(r#"{"t":"\u0031\u0032\u0033-45-6789"}"#), ["ssn t"]);
    assert_eq!(places(r#"{"t":"api_key=\u0061bcdefghijklmnop123456789012345"}"#), ["api_key t"]);
}

#[test]
fn keys_give_their_values_a_meaning() {
    let table = [
        (r#"{"password":"hunter2222"}"#, "password password"),
        (r#"{"user_password":"correct horse"}"#, "password user_password"),
        (r#"{"userPassword":"abcdef"}"#, "password userPassword"),
        (r#"{"PASSWD":"abcdef"}"#, "password PASSWD"),
        (r#"{"db pwd":"abcdef"}"#, r#"password ["db pwd"]"#),
        (r#"{"password":12345678}"#, "password password"),
        (r#"{"password":{"value":"hunter2222"}}"#, "password password.value"),
        (r#"{"passwords":["hunter2222"]}"#, "password passwords[0]"),
        (r#"{"api_key":"abcdef0123456789"}"#, "api_key api_key"),
        (r#"{"apiKey":"abcdef0123456789"}"#, "api_key apiKey"),
        (r#"{"x-api-key":"abcdef0123456789"}"#, "api_key x-api-key"),
        (r#"{"client_secret":"abcdefghijklmnop"}"#, "api_key client_secret"),
        (r#"{"cvv":123}"#, "cvv cvv"),
        (r#"{"cvv":"123"}"#, "cvv cvv"),
        (r#"{"card":{"cvc2":"1234"}}"#, "cvv card.cvc2"),
        (r#"{"ssn":123456789}"#, "ssn ssn"),
        (r#"{"ssn":"123456789"}"#, "ssn ssn"),
        (r#"{"patient":{"SSN":[1,123456789]}}"#, "ssn patient.SSN[1]"),
        (r#"{"ssn":{"value":123456789}}"#, "ssn ssn.value"),
        (r#"{"ｓｓｎ":123456789}"#, "ssn ssn"),
        (r#"{"phone":4155552671}"#, "phone phone"),
        (r#"{"mobileNumber":"4155552671"}"#, "phone mobileNumber"),
        (r#"{"mrn":"00123456"}"#, "mrn mrn"),
        (r#"{"medical_record_number":123456}"#, "mrn medical_record_number"),
        (r#"{"health_insurance_id":"ABC12345678"}"#, "health_insurance health_insurance_id"),
        (r#"{"diagnosis":"B12"}"#, "icd10 diagnosis"),
        (r#"{"icd10":"E119"}"#, "icd10 icd10"),
        (r#"{"card_number":4222222222222}"#, "credit_card card_number"),
        (r#"{"items":[0,{"a":null},{"n":4111111111111111}]}"#, "credit_card items[2].n"),
        (r#"{"a.b":{"c":"123-45-6789"}}"#, r#"ssn ["a.b"].c"#),
    ];
    for (json, place) in table {
        assert_eq!(places(json), [place], "{json}");
    }
}

#[test]
fn json_within_a_string_is_read() {
    let table = [
        (r#"{"t":"{\"password\": \"hunter2222\"}"}"#, "password t"),
        (r#"{"t":"{\"ssn\": 123456789}"}"#, "ssn t"),
        (r#"{"t":"{\"cvv\":123}"}"#, "cvv t"),
        (r#"{"t":"{\"api_key\":\"abcdef0123456789\"}"}"#, "api_key t"),
        (r#"{"t":"{\"mrn\": \"12345678\"}"}"#, "mrn t"),
        (r#"{"t":"{\\\"password\\\": \\\"hunter2222\\\"}"}"#, "password t"),
    ];
    for (json, place) in table {
        assert_eq!(places(json), [place], "{json}");
    }
}

#[test]
fn documents_without_secrets_are_clean() {
    let table = [
        r#"{"ts":1777965382}"#,
        r#"{"ts":1777965382000,"n":123456789,"id":1234567890}"#,
        r#"{"password_policy":"at least 8 characters","password_expires":"2026-01-01"}"#,
        r#"{"reset_password":"https://example.com/reset/1"}"#,
        r#"{"pwd":"/home/agent1"}"#,
        r#"{"password":"********"}"#,
        r#"{"has_password":"unknown1"}"#,
        r#"{"max_tokens":4096,"token":"word","key":"ctrl+shift+down"}"#,
        r#"{"api_key_id":"primary"}"#,
        r#"{"cvv_present":true,"cvv":null}"#,
        r#"{"ssn":"on file","phone":"none","mrn":"pending"}"#,
        r#"{"note":"policy 20240131, room B12, password expires"}"#,
        r#"{"v":[0.4111111111111111,-0.123456789,4111111111111111.5,41111111111111115e-1]}"#,
        r#"{"ssn":123456789.5,"phone":4155552671.25,"cvv":123.5,"n":[536228145.0,1e9,0.0]}"#,
        r#"{"id":"41111111-1111-4111-8111-111111111111"}"#,
        r#"{"a":123,"b":45,"c":6789}"#,
        r#"{"a":["4111","1111","1111","1111"]}"#,
        r#"{"password":true,"text":"hunter2222"}"#,
        r#"{"password":"palisade:sealed:v1:VxR2nRFr92Q2rnS8eT0sMK0ZA8WaxSc4BcfiaYtBDDYmqgBHLD_-aGVsbG8tdw_A"}"#,
    ];
    for json in table {
        let inspection = inspected(json);
        assert_eq!(inspection.outcome, Outcome::Clean, "{json}: {:?}", inspection.findings);
    }
}

#[test]
fn float_vectors_are_clean() {
    let mut seed = 1_u64;
    let mut random = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        format!("0.{:016}", seed % 10_000_000_000_000_000)
    };
    for _ in 0..50 {
        let vector: Vec<String> = (0..384).map(|_| random()).collect();
        let numbers = format!("{{\"v\":[{}]}}", vector.join(","));
        assert_eq!(inspected(&numbers).outcome, Outcome::Clean);
        let text = format!("{{\"v\":\"[{}]\"}}", vector.join(", "));
        assert_eq!(inspected(&text).outcome, Outcome::Clean);
    }
}

#[test]
fn a_false_seal_hides_nothing() {
    let long = |end: &str| {
        let token = format!("{:x<width$}{end}", "", width = 66 - end.len());
        format!("{{\"password\":\"palisade:sealed:v1:{token}\"}}")
    };
    let table = [
        (r#"{"t":"palisade:sealed:v1:AKIAIOSFODNN7EXAMPLE "}"#, "aws_key t"),
        (r#"{"t":"palisade:sealed:v1:AKIAIOSFODNN7EXAMPLE"}"#, "aws_key t"),
        (r#"{"t":"palisade:sealed:v1:536-22-8145"}"#, "ssn t"),
        (r#"{"password":"palisade:sealed:v1:hunter2222"}"#, "password password"),
        // bits that no byte has, padding, a character of the other base64, and too short a token
        (&long("x"), "password password"),
        (&long("="), "password password"),
        (&long("+Q"), "password password"),
        (&long("Q").replace("xxxx", ""), "password password"),
    ];
    for (json, place) in table {
        assert_eq!(places(json), [place], "{json}");
    }
    assert_eq!(places(&long("Q")), [""; 0]);
    let true_form = format!("536-22-8145-{}", "x".repeat(56));
    assert_eq!(places(&format!("{{\"t\":\"palisade:sealed:v1:{true_form}\"}}")), ["ssn t"]);
}

#[test]
fn whole_numbers_are_found_however_they_are_written() {
    let table = [
        (r#"{"card":4111111111111111.0}"#, "credit_card card"),
        (r#"{"n":4111111111111111.000}"#, "credit_card n"),
        (r#"{"n":4.111111111111111e15}"#, "credit_card n"),
        (r#"{"n":-41111111111111110E-1}"#, "credit_card n"),
        (r#"{"ssn":536228145.0}"#, "ssn ssn"),
        (r#"{"ssn":[5.36228145e8]}"#, "ssn ssn[0]"),
        (r#"{"cvv":1.23e2}"#, "cvv cvv"),
        (r#"{"phone":4155552671.00}"#, "phone phone"),
        (r#"{"password":12345678.0}"#, "password password"),
    ];
    for (json, place) in table {
        assert_eq!(places(json), [place], "{json}");
    }
}

#[test]
fn a_key_that_is_a_secret_is_found_and_never_named() {
    let json = r#"{"123-45-6789":{"password":"hunter2222"}}"#;
    assert_eq!(places(json), ["ssn <ssn> key", "password <ssn>.password"]);
}
