//! What lines may not hold: more than the house's width, or a note that nobody will ever read.
//!
//! It knows no syntax: a marker counts where a comment of the file's language has begun.

use super::Finding;
use super::tree::Tree;

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.written() {
        let Some(comment) = comment_of(path) else { continue };
        let is_rust = path.ends_with(".rs");
        for (line, number) in text.lines().zip(1_u32..) {
            let mut found = |says: String| {
                findings.push(Finding::new(format!("{path}:{number}"), says));
            };
            if is_rust && line.chars().count() > WIDTH && !is_raw_literal(line) {
                found(format!("the line is longer than {WIDTH}"));
            }
            if is_rust && line.trim_start().starts_with(DEBUG_PRINT) {
                found("a debugging print".to_owned());
            }
            if let Some((_, said)) = line.split_once(comment)
                && let Some(marker) = marker(said)
            {
                found(format!("`{marker}` needs the number of an issue, or to be done"));
            }
        }
    }
    findings
}

/// Returns the first marker in a comment; a number lifts a `TODO` and no other.
fn marker(comment: &str) -> Option<&'static str> {
    MARKERS.iter().copied().find(|marker| {
        comment.match_indices(marker).any(|(at, _)| {
            let (before, rest) = comment.split_at_checked(at).unwrap_or_default();
            let after = rest.strip_prefix(marker).unwrap_or_default();
            let stands_alone = !before.ends_with(|letter: char| letter.is_alphanumeric())
                && (after.is_empty() || after.starts_with([' ', ':', '(', '!']));
            let number = after.trim_start_matches([' ', ':', '(', '#']);
            let is_lifted =
                *marker == MARKERS[0] && number.starts_with(|c: char| c.is_ascii_digit());
            stands_alone && !is_lifted
        })
    })
}

/// Tells whether a line is a raw string, such as a pattern, which has no place to be broken at.
fn is_raw_literal(line: &str) -> bool {
    let line = line.trim_start();
    line.starts_with("r\"") || line.starts_with("r#\"")
}

fn comment_of(path: &str) -> Option<&'static str> {
    match path.rsplit_once('.')?.1 {
        "rs" | "proto" => Some("//"),
        "py" | "sh" | "toml" | "yaml" | "yml" => Some("#"),
        _ => None,
    }
}

const WIDTH: usize = 100;
const MARKERS: [&str; 3] = ["TODO", "FIXME", "XXX"];
const DEBUG_PRINT: &str = "dbg!(";

#[cfg(test)]
mod tests {
    use super::super::tree::tree;
    use super::*;

    #[test]
    fn markers_without_a_number_are_found() {
        for (comment, expected) in [
            (" TODO", Some("TODO")),
            (" TODO: later", Some("TODO")),
            (" TODO(me): later", Some("TODO")),
            (" TODO(#12): later", None),
            (" TODO #12", None),
            (" FIXME(#12)", Some("FIXME")),
            (" XXX!", Some("XXX")),
            (" an SSN is XXX-XX-XXXX", None),
            (" the word `TODO` itself", None),
            (" AUTODO", None),
        ] {
            assert_eq!(marker(comment), expected, "{comment}");
        }
    }

    #[test]
    fn each_line_is_judged_in_the_language_of_its_file() {
        let wide = format!("//! a\n// {}\n// {}\n", "x".repeat(97), "é".repeat(98));
        let raw = format!("//! a\nconst A: &str =\n    r\"{}\";\n", "x".repeat(120));
        let print = format!("//! a\nfn f() {{\n    {DEBUG_PRINT}1);\n}}\n");
        let tree = tree(&[
            ("a.rs", wide.as_str()),
            ("b.rs", print.as_str()),
            ("b/raw.rs", raw.as_str()),
            ("c.yaml", "a: '// TODO'\nb: 1 # TODO\n"),
            ("d.md", "# TODO\n"),
            ("crates/wire/src/v1.rs", "// TODO\n"),
        ]);
        let places: Vec<String> = check(&tree).into_iter().map(|it| it.place).collect();
        assert_eq!(places, ["a.rs:3", "b.rs:3", "c.yaml:2"]);
    }
}
