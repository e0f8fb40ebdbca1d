//! What the checks look at: the text files of the repository, its sources parsed, its packages.
//!
//! Build output, hidden folders and prepared environments are left out.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

/// The repository as the checks see it; all paths are relative to its root.
pub(super) struct Tree {
    pub(super) files: BTreeMap<String, String>,
    pub(super) rust: BTreeMap<String, syn::File>,
    pub(super) packages: Vec<Package>,
}

/// One package of the workspace, with its edges to others of ours.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Package {
    pub(super) name: String,
    pub(super) folder: String,
    pub(super) edges: Vec<Edge>,
}

/// A dependency of one of our packages on another.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Edge {
    pub(super) to: String,
    pub(super) is_dev: bool,
}

impl Tree {
    /// Reads the repository below a folder.
    ///
    /// # Errors
    ///
    /// Fails when a file can't be read, a source is no Rust, or cargo does not know the workspace.
    pub(super) fn read(root: &Path) -> Result<Self> {
        let mut files = BTreeMap::new();
        collect(root, root, &mut files)?;
        Self::new(files, packages(&metadata(root)?, root)?)
    }

    pub(super) fn new(files: BTreeMap<String, String>, packages: Vec<Package>) -> Result<Self> {
        let mut rust = BTreeMap::new();
        for (path, text) in files.iter().filter(|(path, _)| path.ends_with(".rs")) {
            let parsed = syn::parse_file(text).with_context(|| format!("`{path}` is no Rust"))?;
            rust.insert(path.clone(), parsed);
        }
        Ok(Self { files, rust, packages })
    }

    /// Returns the sources that people write, with their text.
    pub(super) fn written(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files
            .iter()
            .map(|(path, text)| (path.as_str(), text.as_str()))
            .filter(|(path, _)| !is_generated(path))
    }
}

/// Tells whether a file is the work of `cargo xtask codegen`.
pub(super) fn is_generated(path: &str) -> bool {
    path.starts_with("crates/wire/src/")
}

fn collect(root: &Path, folder: &Path, files: &mut BTreeMap<String, String>) -> Result<()> {
    let entries = fs::read_dir(folder).with_context(|| format!("`{}`", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).context("odd file name")?;
        if name.starts_with('.') || name == "target" || path.is_symlink() {
            continue;
        }
        if path.is_dir() {
            collect(root, &path, files)?;
        } else if path.extension().is_some_and(|it| READ.iter().any(|read| it == *read)) {
            let text =
                fs::read_to_string(&path).with_context(|| format!("`{}`", path.display()))?;
            let place = path.strip_prefix(root)?.to_str().context("odd file name")?;
            files.insert(place.to_owned(), text);
        }
    }
    Ok(())
}

fn metadata(root: &Path) -> Result<Value> {
    let output = Command::new("cargo")
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .current_dir(root)
        .output()
        .context("cargo did not start")?;
    let told = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "cargo metadata failed: {told}");
    serde_json::from_slice(&output.stdout).context("cargo metadata printed no JSON")
}

fn packages(metadata: &Value, root: &Path) -> Result<Vec<Package>> {
    let listed = metadata.get("packages").and_then(Value::as_array).context("no packages")?;
    listed
        .iter()
        .map(|package| {
            let manifest = field(package, "manifest_path")?;
            let folder = Path::new(manifest).parent().context("manifest without a folder")?;
            let folder = folder.strip_prefix(root)?.to_str().context("odd folder name")?;
            let dependencies =
                package.get("dependencies").and_then(Value::as_array).context("no dependencies")?;
            let edges = dependencies.iter().filter(|it| it.get("path").is_some()).map(edge);
            Ok(Package {
                name: field(package, "name")?.to_owned(),
                folder: folder.to_owned(),
                edges: edges.collect::<Result<_>>()?,
            })
        })
        .collect()
}

fn edge(dependency: &Value) -> Result<Edge> {
    let is_dev = dependency.get("kind").and_then(Value::as_str) == Some("dev");
    Ok(Edge { to: field(dependency, "name")?.to_owned(), is_dev })
}

fn field<'a>(value: &'a Value, name: &str) -> Result<&'a str> {
    value.get(name).and_then(Value::as_str).with_context(|| format!("no `{name}` in metadata"))
}

const READ: &[&str] = &["md", "proto", "py", "rs", "sh", "toml", "yaml", "yml"];

#[cfg(test)]
pub(super) fn tree(files: &[(&str, &str)]) -> Tree {
    let files = files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned()));
    Tree::new(files.collect(), Vec::new()).expect("sources of a test are Rust")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_edges_between_our_packages_are_kept() {
        let metadata = json!({ "packages": [{
            "name": "gate",
            "manifest_path": "/r/crates/gate/Cargo.toml",
            "dependencies": [
                { "name": "serde", "kind": null },
                { "name": "audit", "kind": null, "path": "/r/crates/audit" },
                { "name": "store", "kind": "dev", "path": "/r/crates/store" },
            ],
        }]});
        let edges = vec![
            Edge { to: "audit".to_owned(), is_dev: false },
            Edge { to: "store".to_owned(), is_dev: true },
        ];
        assert_eq!(
            packages(&metadata, Path::new("/r")).expect("packages"),
            [Package { name: "gate".to_owned(), folder: "crates/gate".to_owned(), edges }]
        );
    }

    #[test]
    fn a_source_that_is_no_rust_is_named() {
        let files = BTreeMap::from([("a.rs".to_owned(), "fn {".to_owned())]);
        let error = Tree::new(files, Vec::new()).err().expect("no Rust");
        assert!(error.to_string().contains("`a.rs`"), "{error}");
    }

    #[test]
    fn hidden_folders_and_build_output_are_not_read() {
        let root = tempfile::tempdir().expect("folder");
        for folder in ["src", "target", ".git"] {
            fs::create_dir(root.path().join(folder)).expect("folder");
            fs::write(root.path().join(folder).join("x.rs"), "//! x").expect("file");
        }
        fs::write(root.path().join("src/x.bin"), [0xff]).expect("file");
        let mut files = BTreeMap::new();
        collect(root.path(), root.path(), &mut files).expect("read");
        assert_eq!(files.keys().collect::<Vec<_>>(), ["src/x.rs"]);
    }
}
