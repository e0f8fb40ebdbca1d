//! The order of the pipeline: its table, its files and its tests say the same.
//!
//! The order is a law of the design, so it stands here once more as data.

use super::Finding;
use super::tree::Tree;

const ORDER: &[&str] = &[
    "authenticate",
    "validate",
    "authorize",
    "rate_limit",
    "circuit",
    "inspect",
    "commit",
    "report",
];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let Some(pipeline) = tree.files.get(PIPELINE) else {
        return vec![Finding::new(PIPELINE, "the pipeline is missing")];
    };
    let mut findings = Vec::new();
    let listed = table(pipeline);
    if listed != ORDER {
        let says = format!(
            "the table of stages is `{}`, it has to be `{}`",
            listed.join(", "),
            ORDER.join(", ")
        );
        findings.push(Finding::new(PIPELINE, says));
    }
    for stage in ORDER {
        let file = format!("{FOLDER}{stage}.rs");
        match tree.files.get(&file) {
            None => findings.push(Finding::new(file, "the stage has no file")),
            Some(text) if !has_tests(tree, stage, text) => {
                findings.push(Finding::new(file, "the stage has no test module"));
            }
            Some(_) => {}
        }
    }
    let strangers = tree.files.keys().filter(|path| {
        path.strip_prefix(FOLDER)
            .and_then(|rest| rest.strip_suffix(".rs"))
            .is_some_and(|stem| !stem.contains('/') && stem != "tests" && !ORDER.contains(&stem))
    });
    findings.extend(strangers.map(|path| Finding::new(path, "the table has no such stage")));
    findings
}

/// Returns the second column of the rows that begin with a number.
fn table(pipeline: &str) -> Vec<String> {
    pipeline
        .lines()
        .filter_map(|line| {
            let mut cells = line.strip_prefix("//! |")?.split('|').map(str::trim);
            cells.next()?.parse::<u8>().ok()?;
            let name = cells.next()?.trim_matches(|letter| "`[]*".contains(letter));
            Some(name.replace(' ', "_"))
        })
        .collect()
}

fn has_tests(tree: &Tree, stage: &str, text: &str) -> bool {
    text.contains("#[cfg(test)]\nmod tests")
        || tree.files.contains_key(&format!("crates/gate/tests/it/{stage}.rs"))
}

const PIPELINE: &str = "crates/gate/src/pipeline.rs";
const FOLDER: &str = "crates/gate/src/pipeline/";

#[cfg(test)]
mod tests {
    use super::super::tree::tree;
    use super::*;

    /// A pipeline with all stages in order and one test module each.
    fn whole() -> Vec<(String, String)> {
        let mut head = "//! a\n//! | | stage | asks |\n//! |---|---|---|\n".to_owned();
        for (stage, row) in ORDER.iter().zip(1..) {
            head.push_str(&format!("//! | {row} | `{stage}` | ? |\n"));
        }
        let mut files = vec![(PIPELINE.to_owned(), head)];
        for stage in ORDER {
            let text = "//! a\n#[cfg(test)]\nmod tests {}\n".to_owned();
            files.push((format!("{FOLDER}{stage}.rs"), text));
        }
        files
    }

    fn found(files: &[(String, String)]) -> Vec<String> {
        let files: Vec<(&str, &str)> =
            files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        check(&tree(&files)).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_whole_pipeline_is_fine() {
        assert_eq!(found(&whole()), Vec::<String>::new());
    }

    #[test]
    fn a_repository_without_pipeline_is_not_fine() {
        assert_eq!(found(&[]), [format!("{PIPELINE}: the pipeline is missing")]);
    }

    #[test]
    fn two_swapped_rows_are_found() {
        let mut files = whole();
        files[0].1 = files[0].1.replace("`circuit`", "`x`").replace("`inspect`", "`circuit`");
        let found = found(&files);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("rate_limit, x, circuit, commit"), "{found:?}");
    }

    #[test]
    fn stages_without_file_row_or_test_are_found() {
        let mut files = whole();
        files.retain(|(path, _)| !path.ends_with("validate.rs"));
        files.push((format!("{FOLDER}back_door.rs"), "//! a".to_owned()));
        files.push((format!("{FOLDER}inspect/part.rs"), "//! a".to_owned()));
        for (path, text) in &mut files {
            if path.ends_with("/report.rs") || path.ends_with("/commit.rs") {
                "//! a".clone_into(text);
            }
        }
        files.push(("crates/gate/tests/it/commit.rs".to_owned(), "//! a".to_owned()));
        assert_eq!(
            found(&files),
            [
                format!("{FOLDER}validate.rs: the stage has no file"),
                format!("{FOLDER}report.rs: the stage has no test module"),
                format!("{FOLDER}back_door.rs: the table has no such stage"),
            ]
        );
    }
}
