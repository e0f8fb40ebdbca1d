//! Configuration files: an error says what is wrong, and where.
#![no_main]

use std::fs;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use server::config::{self, Environment};
use tempfile::TempDir;

static FOLDER: LazyLock<TempDir> = LazyLock::new(palisade_fuzz::folder);

fuzz_target!(|text: &[u8]| {
    let path = FOLDER.path().join("palisade.yaml");
    fs::write(&path, text).expect("written");
    if let Err(errors) = config::load(&path, &Environment::default()) {
        assert!(!errors.is_empty() && errors.len() <= 101);
        // A carriage return breaks a line too (YAML 1.2, section 5.4).
        let lines = text.split(|byte| matches!(byte, b'\n' | b'\r')).count();
        for error in errors {
            assert!(!error.message.is_empty() && !error.code.as_str().is_empty());
            let is_inside = |line| usize::try_from(line).is_ok_and(|line| line <= lines);
            assert!(error.line.is_none_or(|line| line > 0 && is_inside(line)), "{error}");
        }
    }
});
