//! Checks the shape of the repository, which no compiler checks: boundaries, names, stage order.
//!
//! It reads and reports; it never changes a file. Every check is a pure function of the [`Tree`],
//! so that each has its tests without a repository.

use std::fmt;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;

use self::tree::Tree;
use crate::codegen;

mod documents;
mod manifests;
mod modules;
mod names;
mod stages;
mod text;
mod threats;
mod tree;

/// Runs every check and prints one line for each finding.
///
/// # Errors
///
/// Fails when the repository can't be read, or a source is no Rust.
#[expect(clippy::print_stdout, reason = "a tool for the terminal")]
pub(crate) fn run(root: &Path) -> Result<ExitCode> {
    let mut findings = check(&Tree::read(root)?);
    if let Err(error) = codegen::check(root) {
        findings.push(Finding::new("crates/wire", format!("{error:#}")));
    }
    for finding in &findings {
        println!("{finding}");
    }
    if findings.is_empty() {
        println!("tidy: nothing found");
        return Ok(ExitCode::SUCCESS);
    }
    println!("tidy: {} findings", findings.len());
    Ok(ExitCode::FAILURE)
}

fn check(tree: &Tree) -> Vec<Finding> {
    let checks: [fn(&Tree) -> Vec<Finding>; 7] = [
        manifests::check,
        modules::check,
        names::check,
        stages::check,
        text::check,
        documents::check,
        threats::check,
    ];
    checks.iter().flat_map(|check| check(tree)).collect()
}

/// One thing that is not as the house style has it.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    place: String,
    says: String,
}

impl Finding {
    fn new(place: impl Into<String>, says: impl Into<String>) -> Self {
        Self { place: place.into(), says: says.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.place, self.says)
    }
}
