//! Which files a name stands for, what is said when one is missing, and how errors are told.

use std::path::Path;

use clap::Parser;

use super::*;
use crate::output;

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    connect: Connect,
}

fn connect(folder: &Path, arguments: &[&str]) -> Connect {
    let folder = folder.to_str().unwrap();
    let start = ["palisade", "--dir", folder].into_iter();
    Line::try_parse_from(start.chain(arguments.iter().copied())).unwrap().connect
}

fn code(error: &anyhow::Error) -> &str {
    output::failure(error).map_or("none", Failure::code)
}

#[test]
fn a_name_picks_its_files_from_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("alice.pem"), "").unwrap();
    let options = connect(folder.path(), &["--as", "alice"]).options(None).unwrap();
    assert_eq!(
        [options.ca, options.cert, options.key],
        ["ca.pem", "alice.pem", "alice.key"].map(at)
    );
    assert!(options.opening_key.is_none());
    OpeningKey::generate().unwrap().save(&at("alice.seal"), identity::Overwrite::Refuse).unwrap();
    let options = connect(folder.path(), &["--as", "alice"]).options(None).unwrap();
    assert!(options.opening_key.is_some());
}

#[test]
fn named_files_win_over_the_folder() {
    let nowhere = Path::new("/nonexistent");
    let arguments = ["--ca", "c", "--cert", "x.pem", "--key", "k", "--server-name", "gate"];
    let options = connect(nowhere, &arguments).options(None).unwrap();
    assert_eq!(options.cert, Path::new("x.pem"));
    assert_eq!(options.server_name.as_deref(), Some("gate"));
}

#[test]
fn what_is_missing_is_said_with_the_command_that_makes_it() {
    let folder = tempfile::tempdir().unwrap();
    for (arguments, operator, expected, said) in [
        (&[][..], None, "name_missing", "--as NAME"),
        (&["--as", "bob"], None, "cert_missing", "palisade cert agent bob --dir"),
        (&[], Some("operator"), "cert_missing", "palisade cert operator operator --dir"),
        (&["--cert", "x"], None, "key_missing", "--key"),
        (&["--key", "x"], None, "cert_missing", "--cert"),
    ] {
        let error = connect(folder.path(), arguments).options(operator).unwrap_err();
        assert_eq!(code(&error), expected);
        assert!(error.to_string().contains(said), "{error}");
    }
    let error = connect(&folder.path().join("x"), &["--as", "bob"]).options(None).unwrap_err();
    assert_eq!(code(&error), "dir_missing");
    assert!(error.to_string().contains("palisade dev"), "{error}");
}

#[test]
fn a_refusal_is_told_with_its_code_and_when_to_try_again() {
    let refused = palisade_client::Refused {
        status: palisade_client::Code::ResourceExhausted,
        code: "rate_limited".to_owned(),
        decision: "RATE_LIMITED".to_owned(),
        reason: Some("too many".to_owned()),
        retry_after: Some(Duration::from_millis(250)),
    };
    let out = Output { json: false, terminal: false };
    let error = conclude(Err(Error::Refused(refused).into()), &out).unwrap_err();
    assert_eq!(code(&error), "rate_limited");
    let text = error.to_string();
    assert_eq!(text, "refused: rate_limited (RATE_LIMITED): too many [retry after 250 ms]");
}

#[test]
fn other_errors_keep_their_code_and_tell_usage_from_failure() {
    let out = Output { json: true, terminal: false };
    let told = |error: Error| conclude(Err(error.into()), &out).unwrap_err();
    assert_eq!(code(&told(Error::Timeout)), "timeout");
    let invalid = told(Error::Invalid(palisade_client::Invalid::NotAnObject));
    let failure = output::failure(&invalid).unwrap();
    assert_eq!(failure.code(), "invalid_argument");
    assert_eq!(format!("{:?}", failure.exit()), format!("{:?}", ExitCode::from(2)));
    let other = conclude(Err(anyhow::anyhow!("x")), &out).unwrap_err();
    assert_eq!(code(&other), "none");
}

#[test]
fn times_are_read_with_their_unit() {
    let times = [("5s", 5_000), ("1.5s", 1_500), ("250ms", 250), ("2m", 120_000), ("3", 3_000)];
    for (text, milliseconds) in times {
        assert_eq!(duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
    }
    for text in ["", "s", "-1s", "0", "5 s", "1d", "nan", "inf", "25h", "0.0001ms", "1e400"] {
        assert!(duration(text).is_err(), "{text}");
    }
}
