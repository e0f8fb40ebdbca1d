//! Names that say nothing, and are therefore not given to a module or a type.
//!
//! Generated code keeps the names that its contract has.

use syn::Item;

use super::Finding;
use super::tree::{Tree, is_generated};

/// Says nothing as the whole name and as the last word of a longer one.
const EMPTY: &[&str] = &[
    "manager", "managers", "helper", "helpers", "util", "utils", "common", "misc", "base", "data",
    "info", "infos",
];

/// Says nothing alone, but something behind another word.
const EMPTY_ALONE: &[&str] = &["handler", "handlers", "service", "services"];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, file) in tree.rust.iter().filter(|(path, _)| !is_generated(path)) {
        let stem = path.trim_end_matches(".rs").rsplit('/').next().unwrap_or_default();
        let mut names = vec![stem.to_owned()];
        names_of(&file.items, &mut names);
        let empty = names.into_iter().filter(|name| is_empty(name));
        findings.extend(empty.map(|name| {
            Finding::new(path, format!("`{name}` says nothing, name the thing it holds"))
        }));
    }
    findings
}

/// Adds the names of inline modules and types; a module in a file is named by its file.
#[expect(clippy::wildcard_enum_match_arm, reason = "the other kinds of items are not looked at")]
fn names_of(items: &[Item], names: &mut Vec<String>) {
    for item in items {
        match item {
            Item::Enum(it) => names.push(it.ident.to_string()),
            Item::Struct(it) => names.push(it.ident.to_string()),
            Item::Trait(it) => names.push(it.ident.to_string()),
            Item::Type(it) => names.push(it.ident.to_string()),
            Item::Union(it) => names.push(it.ident.to_string()),
            Item::Mod(it) => {
                if let Some((_, items)) = &it.content {
                    names.push(it.ident.to_string());
                    names_of(items, names);
                }
            }
            _ => {}
        }
    }
}

fn is_empty(name: &str) -> bool {
    let words = words(name);
    let last = words.last().map_or("", String::as_str);
    EMPTY.contains(&last) || (words.len() == 1 && EMPTY_ALONE.contains(&last))
}

/// Splits `snake_case` and `CamelCase` into lower-case words.
fn words(name: &str) -> Vec<String> {
    let mut words = Vec::new();
    for part in name.split('_').filter(|part| !part.is_empty()) {
        let mut word = String::new();
        let mut was_upper = true;
        for letter in part.chars() {
            if letter.is_uppercase() && !was_upper {
                words.push(std::mem::take(&mut word));
            }
            was_upper = letter.is_uppercase();
            word.extend(letter.to_lowercase());
        }
        words.push(word);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::super::tree::tree;
    use super::*;

    #[test]
    fn empty_names_are_told_from_full_ones() {
        for (name, is_forbidden) in [
            ("Manager", true),
            ("SessionManager", true),
            ("string_utils", true),
            ("AgentInfo", true),
            ("data", true),
            ("Handler", true),
            ("Service", true),
            ("MessageHandler", false),
            ("HealthService", false),
            ("CommonName", false),
            ("Metadata", false),
            ("base64", false),
            ("DataClass", false),
            ("information", false),
        ] {
            assert_eq!(is_empty(name), is_forbidden, "{name}");
        }
    }

    #[test]
    fn files_types_and_inline_modules_are_looked_at() {
        let tree = tree(&[
            ("c/src/util.rs", "//! a"),
            (
                "c/src/a.rs",
                "//! a\nmod misc { enum BodyInfo {} }\nimpl Body for X { type Data = u8; }",
            ),
            ("crates/wire/src/v1.rs", "//! a\nstruct AgentInfo;"),
        ]);
        let named: Vec<String> = check(&tree).iter().map(ToString::to_string).collect();
        let says = "says nothing, name the thing it holds";
        assert_eq!(
            named,
            [
                format!("c/src/a.rs: `misc` {says}"),
                format!("c/src/a.rs: `BodyInfo` {says}"),
                format!("c/src/util.rs: `util` {says}"),
            ]
        );
    }
}
