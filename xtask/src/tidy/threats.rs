//! The threat table: each line names tests that exist, or says that nothing proves it.
//!
//! A test that is named here runs in the test command, so a green run is the proof. A line without
//! one has to read "claimed, unproven".

use std::collections::BTreeSet;

use syn::visit::{self, Visit};

use super::Finding;
use super::tree::Tree;

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let Some(text) = tree.files.get(TABLE) else {
        return vec![Finding::new(TABLE, "the file is missing")];
    };
    let rows = text.lines().enumerate().filter(|(_, line)| line.starts_with("| "));
    let rows = rows.filter(|(_, line)| !line.starts_with("| ---") && !line.starts_with("| threat"));
    let mut findings: Vec<Finding> =
        rows.flat_map(|(number, line)| row(tree, number + 1, line)).collect();
    if !text.lines().any(|line| line.starts_with("| threat")) {
        findings.push(Finding::new(TABLE, "no table that begins with `threat`"));
    }
    findings
}

fn row(tree: &Tree, number: usize, line: &str) -> Vec<Finding> {
    let place = format!("{TABLE}:{number}");
    let cells: Vec<&str> = line.trim().trim_matches('|').split('|').map(str::trim).collect();
    let [threat, _control, proof] = cells.as_slice() else {
        return vec![Finding::new(place, "a line has three cells: threat, control, proof")];
    };
    let proofs: Vec<&str> = proof.split('`').skip(1).step_by(2).collect();
    if proofs.is_empty() && *proof != UNPROVEN {
        let says = format!("`{threat}` names no test, so it has to say: {UNPROVEN}");
        return vec![Finding::new(place, says)];
    }
    let missing = proofs.into_iter().filter(|proof| !exists(tree, proof));
    missing.map(|proof| Finding::new(&*place, format!("there is no test `{proof}`"))).collect()
}

/// Tells whether a test is there: `crates/x/tests/it/y.rs::name`, or `suite abuse: case`.
fn exists(tree: &Tree, proof: &str) -> bool {
    if let Some((_, case)) = proof.strip_prefix("suite ").and_then(|rest| rest.split_once(": ")) {
        let suites = tree.rust.iter().filter(|(path, _)| path.starts_with(SUITES));
        return suites.into_iter().any(|(_, file)| texts(file).contains(case));
    }
    let Some((path, name)) = proof.split_once("::") else { return false };
    tree.rust.get(path).is_some_and(|file| tests(file).contains(name))
}

fn tests(file: &syn::File) -> BTreeSet<String> {
    let mut found = Tests::default();
    found.visit_file(file);
    found.0
}

fn texts(file: &syn::File) -> BTreeSet<String> {
    let mut found = Texts::default();
    found.visit_file(file);
    found.0
}

/// Functions that are marked as tests, by whatever runtime.
#[derive(Default)]
struct Tests(BTreeSet<String>);

impl<'ast> Visit<'ast> for Tests {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        let marks = item.attrs.iter().filter_map(|mark| mark.path().segments.last());
        if marks.into_iter().any(|mark| mark.ident == "test") {
            self.0.insert(item.sig.ident.to_string());
        }
        visit::visit_item_fn(self, item);
    }
}

/// Text literals, also those that are handed to macros.
#[derive(Default)]
struct Texts(BTreeSet<String>);

impl<'ast> Visit<'ast> for Texts {
    fn visit_lit_str(&mut self, text: &'ast syn::LitStr) {
        self.0.insert(text.value());
    }

    fn visit_macro(&mut self, invoked: &'ast syn::Macro) {
        for token in invoked.tokens.to_string().split('"').skip(1).step_by(2) {
            self.0.insert(token.to_owned());
        }
    }
}

const TABLE: &str = "docs/threat-model.md";
const SUITES: &str = "e2e/src/suite";
const UNPROVEN: &str = "claimed, unproven";

#[cfg(test)]
mod tests {
    use super::super::tree::tree;
    use super::*;

    const TESTS: &str = "//! x\n#[tokio::test]\nasync fn it_holds() {}\nfn no_test() {}";
    const SUITE: &str = "//! x\nconst A: &[A] = &[attack!(\"flood\", true)];";

    fn findings(row: &str) -> usize {
        let table = format!("| threat | control | proof |\n| --- | --- | --- |\n{row}\n");
        let files = [(TABLE, table.as_str()), ("a/t.rs", TESTS), ("e2e/src/suite/x.rs", SUITE)];
        check(&tree(&files)).len()
    }

    #[test]
    fn a_line_names_tests_that_exist_or_says_that_nothing_proves_it() {
        assert_eq!(findings("| a | b | `a/t.rs::it_holds`, `suite abuse: flood` |"), 0);
        assert_eq!(findings("| a | b | claimed, unproven |"), 0);
        assert_eq!(findings("| a | b | `a/t.rs::no_test` |"), 1);
        assert_eq!(findings("| a | b | `a/t.rs::gone`, `suite abuse: gone` |"), 2);
        assert_eq!(findings("| a | b | sure |"), 1);
        assert_eq!(findings("| a | b |"), 1);
    }

    #[test]
    fn the_table_has_to_be_there() {
        assert_eq!(check(&tree(&[])).len(), 1);
        assert_eq!(check(&tree(&[(TABLE, "no table")])).len(), 1);
    }
}
