//! Where modules lie: none without a head, none that nobody names, one test binary per crate.
//!
//! It follows `mod` items only; a module that a macro would name counts as unnamed.

use std::collections::BTreeSet;

use syn::{Attribute, Expr, ExprLit, Item, Lit, Meta};

use super::Finding;
use super::tree::Tree;

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = heads(tree);
    for package in &tree.packages {
        findings.extend(test_binaries(tree, &package.folder));
        findings.extend(orphans(tree, &package.folder));
    }
    findings
}

fn heads(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for path in tree.rust.keys() {
        let text = tree.files.get(path).map_or("", String::as_str);
        if !text.trim_start().starts_with("//! ") {
            findings.push(Finding::new(path, "the module does not start with `//!`"));
        }
        if path.ends_with("/mod.rs") {
            findings.push(Finding::new(path, "a module lies in `x.rs`, never in `x/mod.rs`"));
        }
    }
    findings
}

fn test_binaries(tree: &Tree, package: &str) -> Vec<Finding> {
    let tests = format!("{package}/tests/");
    let is_binary = |rest: &str| match rest.split_once('/') {
        None => true,
        Some((_, file)) => file == "main.rs",
    };
    tree.rust
        .keys()
        .filter(|path| {
            path.strip_prefix(&tests).is_some_and(|rest| is_binary(rest) && rest != "it/main.rs")
        })
        .map(|path| Finding::new(path, "a crate has one test binary: `tests/it/main.rs`"))
        .collect()
}

fn orphans(tree: &Tree, package: &str) -> Vec<Finding> {
    let source = format!("{package}/src/");
    let tests = format!("{package}/tests/it/");
    let binaries = format!("{package}/src/bin/");
    let mut open: Vec<String> = tree
        .rust
        .keys()
        .filter(|path| {
            path.starts_with(&binaries)
                || [
                    format!("{source}lib.rs"),
                    format!("{source}main.rs"),
                    format!("{tests}main.rs"),
                ]
                .contains(path)
        })
        .cloned()
        .collect();
    let roots: BTreeSet<String> = open.iter().cloned().collect();
    let mut named = roots.clone();
    while let Some(path) = open.pop() {
        let Some(file) = tree.rust.get(&path) else { continue };
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let home = if roots.contains(&path) { folder } else { path.trim_end_matches(".rs") };
        let mut children = Vec::new();
        children_of(&file.items, folder, home, &mut children);
        open.extend(children.into_iter().filter(|child| named.insert(child.clone())));
    }
    tree.rust
        .keys()
        .filter(|path| path.starts_with(&source) || path.starts_with(&tests))
        .filter(|path| !named.contains(*path))
        .map(|path| Finding::new(path, "no `mod` names this file"))
        .collect()
}

/// Adds the files that the `mod` items of one file name; `home` is where its modules lie.
fn children_of(items: &[Item], folder: &str, home: &str, found: &mut Vec<String>) {
    for item in items {
        let Item::Mod(module) = item else { continue };
        let inside = format!("{home}/{}", module.ident);
        match (&module.content, named_path(&module.attrs)) {
            (Some((_, items)), _) => children_of(items, folder, &inside, found),
            (None, Some(path)) => found.push(format!("{folder}/{path}")),
            (None, None) => found.push(format!("{inside}.rs")),
        }
    }
}

fn named_path(attributes: &[Attribute]) -> Option<String> {
    attributes.iter().find_map(|attribute| {
        let Meta::NameValue(pair) = &attribute.meta else { return None };
        let Expr::Lit(ExprLit { lit: Lit::Str(path), .. }) = &pair.value else { return None };
        pair.path.is_ident("path").then(|| path.value())
    })
}

#[cfg(test)]
mod tests {
    use super::super::tree::{Package, tree};
    use super::*;

    fn found(files: &[(&str, &str)]) -> Vec<String> {
        let mut tree = tree(files);
        let folder = "c".to_owned();
        tree.packages = vec![Package { name: "c".to_owned(), folder, edges: Vec::new() }];
        check(&tree).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn modules_with_head_and_name_are_fine() {
        let found = found(&[
            ("c/src/lib.rs", "//! a\npub mod a;\nmod x { mod y; }\n#[path = \"q.rs\"] mod p;"),
            ("c/src/a.rs", "//! a\n#[cfg(test)]\nmod tests;"),
            ("c/src/a/tests.rs", "//! a"),
            ("c/src/x/y.rs", "//! a"),
            ("c/src/q.rs", "//! a"),
            ("c/src/bin/tool.rs", "//! a"),
            ("c/tests/it/main.rs", "//! a\nmod b;"),
            ("c/tests/it/b.rs", "//! a"),
            ("c/examples/e.rs", "//! a"),
        ]);
        assert_eq!(found, Vec::<String>::new());
    }

    #[test]
    fn each_misplaced_module_is_found_once() {
        let found = found(&[
            ("c/src/lib.rs", "//! a\nmod a;"),
            ("c/src/a/mod.rs", "//! a"),
            ("c/src/b.rs", "//! a"),
            ("c/src/a.rs", "mod deep;"),
            ("c/src/deep.rs", "//! a"),
            ("c/tests/other.rs", "//! a"),
            ("c/tests/more/main.rs", "//! a"),
            ("c/tests/it/main.rs", "//! a"),
            ("c/tests/it/lost.rs", "//! a"),
        ]);
        let one = "a crate has one test binary: `tests/it/main.rs`";
        assert_eq!(
            found,
            [
                "c/src/a.rs: the module does not start with `//!`".to_owned(),
                "c/src/a/mod.rs: a module lies in `x.rs`, never in `x/mod.rs`".to_owned(),
                format!("c/tests/more/main.rs: {one}"),
                format!("c/tests/other.rs: {one}"),
                "c/src/a/mod.rs: no `mod` names this file".to_owned(),
                "c/src/b.rs: no `mod` names this file".to_owned(),
                "c/src/deep.rs: no `mod` names this file".to_owned(),
                "c/tests/it/lost.rs: no `mod` names this file".to_owned(),
            ]
        );
    }
}
