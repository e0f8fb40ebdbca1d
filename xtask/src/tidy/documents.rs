//! Files that readers rely on: they exist, and the map of the code stays short enough to be read.
//!
//! Whether the example configuration holds every key is a test of the crate that owns the keys.

use super::Finding;
use super::tree::Tree;

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings: Vec<Finding> = REQUIRED
        .iter()
        .filter(|path| !tree.files.contains_key(**path))
        .map(|path| Finding::new(*path, "the file is missing"))
        .collect();
    let lines = tree.files.get(MAP).map_or(0, |text| text.lines().count());
    if lines > MAP_LINES_MAX {
        findings
            .push(Finding::new(MAP, format!("{lines} lines, at most {MAP_LINES_MAX} are read")));
    }
    findings
}

const MAP: &str = "ARCHITECTURE.md";
const MAP_LINES_MAX: usize = 300;
const REQUIRED: &[&str] = &[
    MAP,
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "README.md",
    "SECURITY.md",
    "config/palisade.yaml",
    "deny.toml",
];

#[cfg(test)]
mod tests {
    use super::super::tree::tree;
    use super::*;

    #[test]
    fn the_map_has_a_border_and_missing_files_are_named() {
        for (lines, found) in [(MAP_LINES_MAX, 0), (MAP_LINES_MAX + 1, 1)] {
            let text = "x\n".repeat(lines);
            let mut files: Vec<(&str, &str)> = REQUIRED.iter().map(|path| (*path, "x")).collect();
            files.push((MAP, &text));
            assert_eq!(check(&tree(&files)).len(), found, "{lines}");
        }
        assert_eq!(check(&tree(&[])).len(), REQUIRED.len());
    }
}
