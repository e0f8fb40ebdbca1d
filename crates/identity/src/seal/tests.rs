//! Sealing and opening, and everything that must not open.

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

const RECIPIENT: &[u8] = b"helpdesk";
/// Made with an independent implementation of RFC 9180 from fixed key material.
const KNOWN_SECRET: &str = "palisade-opening-key-v1:AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA";
const KNOWN_PUBLIC: &str = "B6N8vBQgk8i3VdwbEOhstCY3StFqqFPtC9_AsrhtHHw";
const KNOWN_FIELD: &str = "palisade:sealed:v1:VxR2nRFr92Q2rnS8eT0sMK0ZA8WaxSc4BcfiaYtBDDYmqgBHLD-\
                           _Psqu0mUX4FW2cMD1RKP3cM_TBviKnfZHYsPM4g";

fn key() -> OpeningKey {
    OpeningKey::generate().unwrap()
}

fn sealed(key: &OpeningKey, plaintext: &[u8]) -> String {
    seal(key.sealing_key(), RECIPIENT, plaintext).unwrap()
}

#[test]
fn a_field_sealed_by_another_implementation_opens() {
    let key = OpeningKey::parse(KNOWN_SECRET).unwrap();
    assert_eq!(key.sealing_key().to_string(), KNOWN_PUBLIC);
    assert_eq!(*open(&key, RECIPIENT, KNOWN_FIELD).unwrap(), b"4111 1111 1111 1111");
}

#[test]
fn sealing_and_opening_are_a_pair() {
    let key = key();
    for plaintext in [b"".as_slice(), b"x", "4111 ä\0".as_bytes(), &[0xff; 70_000]] {
        let field = sealed(&key, plaintext);
        assert!(field.starts_with(SEALED_PREFIX));
        assert_eq!(*open(&key, RECIPIENT, &field).unwrap(), plaintext);
    }
    assert_ne!(sealed(&key, b"x"), sealed(&key, b"x"), "equal fields do not look equal");
}

#[test]
fn only_the_right_key_and_recipient_open() {
    let (key, stranger) = (key(), key());
    let field = sealed(&key, b"secret");
    assert!(matches!(open(&stranger, RECIPIENT, &field), Err(SealError::Refused)));
    for recipient in [b"".as_slice(), b"helpdes", b"helpdesk2", b"Helpdesk"] {
        assert!(matches!(open(&key, recipient, &field), Err(SealError::Refused)));
    }
}

#[test]
fn every_flipped_bit_is_noticed() {
    let key = key();
    let field = sealed(&key, b"secret");
    let bytes = BASE64.decode(field.strip_prefix(SEALED_PREFIX).unwrap()).unwrap();
    for index in 0..bytes.len() {
        for bit in 0..8 {
            let mut changed = bytes.clone();
            changed[index] ^= 1 << bit;
            let changed = format!("{SEALED_PREFIX}{}", BASE64.encode(changed));
            assert!(matches!(open(&key, RECIPIENT, &changed), Err(SealError::Refused)), "{index}");
        }
    }
}

#[test]
fn a_field_cut_anywhere_does_not_open() {
    let key = key();
    let field = sealed(&key, b"secret");
    for end in 0..field.len() {
        let refused = open(&key, RECIPIENT, field.get(..end).unwrap()).unwrap_err();
        assert!(matches!(refused, SealError::NotSealed | SealError::Refused), "{end}");
    }
}

#[test]
fn there_is_one_way_to_write_a_field() {
    let key = key();
    let field = sealed(&key, b"secret");
    let body = field.strip_prefix(SEALED_PREFIX).unwrap();
    for text in [
        format!("{field}="),
        format!("{field}\n"),
        format!(" {field}"),
        format!("palisade:sealed:v2:{body}"),
        format!("PALISADE:SEALED:V1:{body}"),
        format!("{SEALED_PREFIX}+{}", body.get(1..).unwrap()),
        body.to_owned(),
    ] {
        assert!(matches!(open(&key, RECIPIENT, &text), Err(SealError::NotSealed)), "{text}");
    }
}

#[test]
fn sizes_are_bounded_on_both_sides() {
    let key = key();
    let largest = vec![b'x'; PLAINTEXT_BYTES_MAX];
    assert_eq!(*open(&key, RECIPIENT, &sealed(&key, &largest)).unwrap(), largest);
    let larger = vec![b'x'; PLAINTEXT_BYTES_MAX + 1];
    let refused = seal(key.sealing_key(), RECIPIENT, &larger);
    assert!(matches!(refused, Err(SealError::TooLarge)));
    let huge = format!("{SEALED_PREFIX}{}", "A".repeat(ENCODED_BYTES_MAX + 1));
    assert!(matches!(open(&key, RECIPIENT, &huge), Err(SealError::TooLarge)));
}

#[test]
fn a_sealing_key_is_43_characters_and_a_safe_point() {
    let key = key();
    let text = key.sealing_key().to_string();
    assert_eq!((text.len(), SealingKey::parse(&text).unwrap()), (43, key.sealing_key().clone()));
    let zero = BASE64.encode([0_u8; 32]);
    let mut one = [0_u8; 32];
    one[0] = 1;
    let (one, short, long) = (BASE64.encode(one), BASE64.encode([9; 31]), BASE64.encode([9; 33]));
    let padded = format!("{text}=");
    let secret = key.to_text();
    for bad in ["", "x", &zero, &one, &short, &long, &padded, secret.trim()] {
        assert!(matches!(SealingKey::parse(bad), Err(SealError::KeyInvalid)), "{}", bad.len());
    }
}

#[test]
fn an_opening_key_survives_its_file() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("helpdesk.open");
    let key = key();
    key.save(&path, Overwrite::Refuse).unwrap();
    assert_eq!(key.save(&path, Overwrite::Refuse).unwrap_err().code(), "file_exists");
    let loaded = OpeningKey::load(&path).unwrap();
    assert_eq!(*open(&loaded, RECIPIENT, &sealed(&key, b"x")).unwrap(), b"x");
    files::write(&path, b"not a key", Audience::Owner, Overwrite::Replace).unwrap();
    assert_eq!(OpeningKey::load(&path).unwrap_err().code(), "seal_key_invalid");
    files::write(&path, b"x", Audience::Everyone, Overwrite::Replace).unwrap();
    assert_eq!(OpeningKey::load(&path).unwrap_err().code(), "file_open_to_others");
}

#[test]
fn debug_shows_no_secret() {
    let key = key();
    let shown = format!("{key:?}");
    let secret = key.to_text();
    let encoded = secret.trim().strip_prefix(OPENING_PREFIX).unwrap();
    assert!(shown.contains("[redacted]") && !shown.contains(encoded), "{shown}");
}

proptest! {
    #[test]
    fn opening_anything_never_panics(text in "\\PC{0,80}") {
        static KEY: std::sync::LazyLock<OpeningKey> = std::sync::LazyLock::new(key);
        prop_assert!(open(&KEY, RECIPIENT, &text).is_err());
        let disguised = format!("{SEALED_PREFIX}{text}");
        prop_assert!(open(&KEY, RECIPIENT, &disguised).is_err());
        prop_assert!(OpeningKey::parse(&text).is_err());
    }
}
