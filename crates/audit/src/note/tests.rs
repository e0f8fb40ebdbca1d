//! Notes and keys of ours and of others, and everything that is none.

use proptest::prelude::*;

use super::*;

// The example of the documentation of golang.org/x/mod/sumdb/note.
const GO_VERIFIER: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const GO_SIGNER: &str =
    "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
const GO_NOTE: &str = "If you think cryptography is the answer to your problem,\n\
    then you don't know what your problem is.\n\n\
    \u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZIn\
    NIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
// The example of C2SP tlog-cosignature.
const C2SP_CHECKPOINT: &str = "example.com/behind-the-sofa\n20852163\n\
    CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n\
    \u{2014} example.com/behind-the-sofa \
    Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n\
    \u{2014} witness.example.com/w1 \
    jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+\
    mbIUBkBIfZ+qnA==\n";

fn key(kind: KeyKind, name: &str) -> SigningKey {
    SigningKey::generate(kind, name).unwrap()
}

#[test]
fn the_example_of_go_is_read_verified_and_signed_byte_for_byte() {
    let verifier = VerifierKey::parse(GO_VERIFIER).unwrap();
    assert_eq!(verifier.to_string(), GO_VERIFIER);
    let note = Note::parse(GO_NOTE.as_bytes()).unwrap();
    assert_eq!(note.check(&verifier), Ok(0));
    assert_eq!(note.to_string(), GO_NOTE);
    let signer = SigningKey::parse(GO_SIGNER).unwrap();
    assert_eq!(*signer.verifier(), verifier);
    assert_eq!(signer.to_text().trim_end(), GO_SIGNER);
    let mut ours = Note::new(note.text()).unwrap();
    ours.add(signer.sign(ours.text(), 7));
    assert_eq!(ours.to_string(), GO_NOTE);
}

#[test]
fn keys_of_witnesses_that_others_made_are_read() {
    // From the tests of github.com/transparency-dev/formats.
    let text = "remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2";
    let key = VerifierKey::parse(text).unwrap();
    assert_eq!((key.name(), key.kind()), ("remora.n621.de", KeyKind::Witness));
    assert_eq!(key.to_string(), text);
    let text = "TEST+7997405c+AQcC+FTVKf0jlTdHDY3rbevmnKxxPjigCXlVtGe6RIr6";
    assert_eq!(VerifierKey::parse(text).unwrap().kind(), KeyKind::Log);
}

#[test]
fn no_other_text_is_a_key() {
    for (text, why) in [
        ("", KeyError::Malformed),
        ("PeterNeumann+c74f20a3", KeyError::Malformed),
        ("PeterNeumann+c74f20a3+", KeyError::Malformed),
        ("+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", KeyError::Malformed),
        (
            "Peter Neumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
            KeyError::Malformed,
        ),
        ("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10T", KeyError::Malformed),
        ("PeterNeumann+c74f20a4+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", KeyError::WrongId),
        ("PeterNeumann+C74F20A3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", KeyError::WrongId),
        ("peterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", KeyError::WrongId),
        // From the tests of Go: too long, and of an unknown type, both with the right identifier.
        (
            "PeterNeumann+cc469956+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWBADKEY==",
            KeyError::Malformed,
        ),
        (
            "PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
            KeyError::UnknownType,
        ),
        (GO_SIGNER, KeyError::Malformed),
    ] {
        assert_eq!(VerifierKey::parse(text).unwrap_err(), why, "{text}");
    }
    for end in 0..GO_SIGNER.len() {
        assert!(SigningKey::parse(GO_SIGNER.get(..end).unwrap()).is_err());
    }
    assert_eq!(SigningKey::parse(GO_VERIFIER).unwrap_err(), KeyError::MalformedSecret);
    let long = "x".repeat(256);
    for name in ["", "a b", "a+b", "a\u{2003}b", "a\nb", &long] {
        assert_eq!(SigningKey::generate(KeyKind::Log, name).unwrap_err(), KeyError::BadName);
    }
}

#[test]
fn a_secret_is_not_shown() {
    let signer = SigningKey::parse(GO_SIGNER).unwrap();
    assert_eq!(format!("{signer:?}"), "SigningKey(PeterNeumann, [redacted])");
}

#[test]
fn the_example_of_a_checkpoint_is_read_and_written() {
    let signed = SignedCheckpoint::parse(C2SP_CHECKPOINT.as_bytes()).unwrap();
    assert_eq!(signed.checkpoint().origin, "example.com/behind-the-sofa");
    assert_eq!(signed.checkpoint().size, 20_852_163);
    assert_eq!(signed.checkpoint().root[..2], [0x0a, 0xc5]);
    assert_eq!(signed.note().signatures().len(), 2);
    assert_eq!(signed.to_string(), C2SP_CHECKPOINT);
    assert_eq!(signed.checkpoint().to_string(), signed.note().text());
}

#[test]
fn a_checkpoint_is_signed_by_its_log_and_cosigned_by_a_witness() {
    let (log, witness) = (key(KeyKind::Log, "log"), key(KeyKind::Witness, "w/1"));
    let mut signed = SignedCheckpoint::sign(&log, 3, [7; 32]).unwrap();
    signed.check_log(log.verifier()).unwrap();
    let unsigned = signed.check_witness(witness.verifier()).unwrap_err();
    assert_eq!(unsigned, NoteError::NotSigned { name: "w/1".to_owned() });
    let cosignature = witness.sign(signed.note().text(), 1_727_964_367);
    assert_eq!(cosignature.bytes.len(), 72);
    signed.add(cosignature.clone());
    signed.add(cosignature);
    let read = SignedCheckpoint::parse(signed.to_string().as_bytes()).unwrap();
    assert_eq!(read, signed);
    assert_eq!(read.note().signatures().len(), 2);
    read.check_log(log.verifier()).unwrap();
    assert_eq!(read.check_witness(witness.verifier()), Ok(1_727_964_367));
}

#[test]
fn a_cosignature_is_over_the_header_the_time_and_the_whole_text() {
    // The message as tlog-cosignature has it, signed by the other kind of key with the same seed.
    let witness = key(KeyKind::Witness, "w");
    let text = "log\n1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\nmore\n";
    let cosignature = witness.sign(text, 42);
    let secret = witness.to_text();
    let bytes = BASE64.decode(secret.trim_end().rsplit('+').next().unwrap_or_default());
    let mut seed = bytes.unwrap_or_default();
    if seed.len() != 33 {
        // The encoded key has a plus of its own.
        let encoded = secret.trim_end().splitn(5, '+').last().unwrap().to_owned();
        seed = BASE64.decode(encoded).unwrap();
    }
    let pair = aws_lc_rs::signature::Ed25519KeyPair::from_seed_unchecked(&seed[1..]).unwrap();
    let message = format!("cosignature/v1\ntime 42\n{text}");
    assert_eq!(&cosignature.bytes[..8], &42_u64.to_be_bytes());
    assert_eq!(&cosignature.bytes[8..], pair.sign(message.as_bytes()).as_ref());
}

#[test]
fn a_changed_text_or_signature_is_noticed_and_strangers_are_passed_over() {
    let (log, witness) = (key(KeyKind::Log, "log"), key(KeyKind::Witness, "w"));
    let mut signed = SignedCheckpoint::sign(&log, 3, [7; 32]).unwrap();
    signed.add(witness.sign(signed.note().text(), 5));
    let whole = signed.to_string();
    let bad = NoteError::BadSignature { name: "log".to_owned() };
    let changed = SignedCheckpoint::parse(whole.replace("\n3\n", "\n4\n").as_bytes()).unwrap();
    assert_eq!(changed.check_log(log.verifier()).unwrap_err(), bad);
    assert!(changed.check_witness(witness.verifier()).is_err());
    // Another key of the same name is another key.
    let other = key(KeyKind::Log, "log");
    let absent = NoteError::NotSigned { name: "log".to_owned() };
    assert_eq!(signed.check_log(other.verifier()).unwrap_err(), absent);
    let stranger = key(KeyKind::Log, "stranger");
    assert!(matches!(
        signed.check_log(stranger.verifier()),
        Err(NoteError::AnotherLog { found, expected }) if found == "log" && expected == "stranger"
    ));
    // A log's key is no witness, and the other way round.
    assert!(signed.check_witness(log.verifier()).is_err());
    assert!(SignedCheckpoint::sign(&witness, 1, [0; 32]).is_err());
    // A time that does not fit a signed number is refused though the signature is right.
    let mut late = SignedCheckpoint::sign(&log, 3, [7; 32]).unwrap();
    late.add(witness.sign(signed.note().text(), u64::MAX));
    assert!(late.check_witness(witness.verifier()).is_err());
}

#[test]
fn a_wrong_signature_beside_a_right_one_of_the_same_key_is_refused() {
    let log = key(KeyKind::Log, "log");
    let signed = SignedCheckpoint::sign(&log, 3, [7; 32]).unwrap();
    let mut wrong = signed.note().signatures()[0].clone();
    wrong.bytes[0] ^= 1;
    let whole = format!("{signed}{wrong}\n");
    let read = SignedCheckpoint::parse(whole.as_bytes()).unwrap();
    assert!(matches!(read.check_log(log.verifier()), Err(NoteError::BadSignature { .. })));
}

#[test]
fn no_other_text_is_a_note() {
    let line = "\u{2014} a AAAAAAA=\n";
    assert!(Note::parse(format!("text\n\n{line}").as_bytes()).is_ok());
    assert!(Note::parse(format!("te\n\nxt\n\n{line}").as_bytes()).is_ok());
    for whole in [
        String::new(),
        "text\n".to_owned(),
        "text\n\n".to_owned(),
        format!("text\n{line}"),
        format!("text\n\n{}", line.trim_end()),
        format!("te\txt\n\n{line}"),
        format!("text\n\n{line}x\n"),
        "text\n\n- a AAAAAAA=\n".to_owned(),
        "text\n\n\u{2014} a AAAAAA==\n".to_owned(),
        "text\n\n\u{2014} a AAAAA\n".to_owned(),
        "text\n\n\u{2014}  AAAAAAA=\n".to_owned(),
        "text\n\n\u{2014} a+b AAAAAAA=\n".to_owned(),
        format!("text\n\n{}", line.repeat(101)),
        format!("{}\n\n{line}", "x".repeat(NOTE_BYTES_MAX)),
    ] {
        assert!(matches!(Note::parse(whole.as_bytes()), Err(NoteError::Malformed(_))), "{whole}");
    }
    assert!(Note::parse(b"\xff\n\n").is_err());
}

#[test]
fn no_other_text_is_a_checkpoint() {
    let root = "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=";
    let with_lines = format!("log\n0\n{root}\none\ntwo\n");
    assert_eq!(Checkpoint::parse(&with_lines).unwrap().extensions, ["one", "two"]);
    for text in [
        String::new(),
        "\n".to_owned(),
        "log\n".to_owned(),
        "log\n1\n".to_owned(),
        format!("\n1\n{root}\n"),
        format!("log\n1\n{root}"),
        format!("log\n01\n{root}\n"),
        format!("log\n+1\n{root}\n"),
        format!("log\n-1\n{root}\n"),
        format!("log\n18446744073709551616\n{root}\n"),
        format!("log\n\n{root}\n"),
        format!("log\n1\n{}\n", root.get(..40).unwrap()),
        format!("log\n1\n{}J=\n", root.get(..42).unwrap()),
        format!("log\n1\n{root}\n\n"),
        format!("log\n1\n{root}\n\nx\n"),
    ] {
        assert!(matches!(Checkpoint::parse(&text), Err(NoteError::NotACheckpoint(_))), "{text}");
    }
}

proptest! {
    #[test]
    fn what_is_read_is_what_was_written(size: u64, root: [u8; 32], time in 0..i64::MAX as u64) {
        let (log, witness) = (key(KeyKind::Log, "example.com/log"), key(KeyKind::Witness, "w"));
        let mut signed = SignedCheckpoint::sign(&log, size, root).unwrap();
        signed.add(witness.sign(signed.note().text(), time));
        let read = SignedCheckpoint::parse(signed.to_string().as_bytes()).unwrap();
        prop_assert_eq!(&read, &signed);
        prop_assert_eq!(read.check_witness(witness.verifier()), Ok(time));
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes: Vec<u8>, text in "\\PC*") {
        drop(SignedCheckpoint::parse(&bytes));
        drop(Note::parse(text.as_bytes()));
        drop(VerifierKey::parse(&text));
        drop(SigningKey::parse(&text));
        drop(Checkpoint::parse(&text));
    }
}
