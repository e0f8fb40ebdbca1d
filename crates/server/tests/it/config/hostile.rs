//! Files that nobody wrote by hand.

use server::config::ConfigErrorCode as Code;

use super::{Folder, TLS};

fn refused(text: impl AsRef<[u8]>) -> (Code, Option<u32>, String) {
    let folder = Folder::with("palisade.yaml", text);
    let errors = folder.load(&[]).unwrap_err();
    let [error] = errors.as_slice() else { panic!("{errors:?}") };
    assert!(error.message.len() < 400, "{}", error.message);
    (error.code, error.line, error.message.to_string())
}

#[test]
fn aliases_that_multiply_are_refused() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..10 {
        let below = format!("*a{}, ", level - 1).repeat(9);
        text.push_str(&format!("a{level}: &a{level} [{below}]\n"));
    }
    let (code, line, message) = refused(text);
    assert_eq!(code, Code::Syntax);
    assert!(line.is_some() && message.contains("reasonable size"), "{message}");
}

#[test]
fn deep_nesting_is_refused() {
    for text in
        ["[".repeat(100_000), format!("a: {}", "{b: ".repeat(100_000)), "- ".repeat(100_000)]
    {
        assert_eq!(refused(text).0, Code::Syntax);
    }
    let mut block = String::new();
    for level in 0..500 {
        block.push_str(&format!("{}a:\n", " ".repeat(level)));
    }
    assert_eq!(refused(block).0, Code::Syntax);
}

#[test]
fn two_mebibytes_are_not_read() {
    let (code, _, message) = refused(format!("{TLS}#{}", "x".repeat(2 << 20)));
    assert_eq!(
        (code, message.as_str()),
        (Code::TooLarge, "is larger than 1048576 bytes, the most that is read")
    );
    let fits = format!("{TLS}#{}", "x".repeat((1 << 20) - TLS.len() - 1));
    assert!(Folder::with("palisade.yaml", fits).load(&[]).is_ok());
}

#[test]
fn a_byte_order_mark_is_no_part_of_the_first_key() {
    let folder = Folder::with("palisade.yaml", format!("\u{feff}{TLS}gatewy: 1\n"));
    assert_eq!(
        folder.errors(&[]),
        ["palisade.yaml:3:1: gatewy: unknown key; did you mean gateway?"]
    );
    let utf16: Vec<u8> = TLS.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let (code, _, message) = refused([&[0xff, 0xfe][..], &utf16].concat());
    assert_eq!((code, message.as_str()), (Code::Syntax, "is not UTF-8 text, from byte 0"));
}

#[test]
fn a_key_that_is_there_twice_is_refused_at_its_second_place() {
    let (code, line, message) = refused(format!("{TLS}gateway: {{}}\nserver: {{}}\n"));
    assert_eq!((code, line), (Code::DuplicateKey, Some(4)));
    assert_eq!(message, "the key `server` is there twice; remove one of them");
    let (code, line, _) = refused(format!("{TLS}agents:\n  a: {{}}\n  b: {{}}\n  a: {{}}\n"));
    assert_eq!((code, line), (Code::DuplicateKey, Some(6)));
}

#[test]
fn what_is_no_single_yaml_document_is_refused_with_its_place() {
    let cases = [
        ("a: [1\nb: 2\n", 2),
        ("a: \"never closed\n", 1),
        ("a: b: c\n", 1),
        ("a: !!python/object/apply:os.system x\n", 1),
        ("a: *nowhere\n", 1),
        ("a: 1\n---\nb: 2\n", 3),
        ("a: \u{1}\n", 1),
    ];
    for (text, line) in cases {
        let (code, found, message) = refused(text);
        assert_eq!(code, Code::Syntax, "{text}");
        assert!(
            found.is_some_and(|found| found.abs_diff(line) <= 1),
            "{text}: {found:?} {message}"
        );
    }
}

#[test]
fn a_flood_of_problems_is_cut() {
    let mut text = TLS.to_owned();
    for number in 0..5_000 {
        text.push_str(&format!("key{number}: 1\n"));
    }
    assert_eq!(Folder::with("palisade.yaml", text).load(&[]).unwrap_err().len(), 100);
}

#[test]
fn foreign_control_characters_do_not_reach_an_error() {
    let (_, _, message) = refused(format!("{TLS}\"a\\e[31m\": 1\n"));
    assert_eq!(message, "unknown key");
    let error = &Folder::with("palisade.yaml", format!("{TLS}\"a\\e[31m\": 1\n")).errors(&[])[0];
    assert!(!error.contains('\u{1b}'), "{error:?}");
}

#[test]
fn a_file_that_is_not_there_and_one_that_cannot_be_read_are_told_apart() {
    let folder = Folder::with("palisade.yaml", "");
    let gone = Folder { file: folder.folder.path().join("gone.yaml"), ..folder };
    assert_eq!(gone.load(&[]).unwrap_err()[0].code, Code::Missing);
    let is_folder = Folder { file: gone.folder.path().to_owned(), ..gone };
    assert_eq!(is_folder.load(&[]).unwrap_err()[0].code, Code::Unreadable);
}
