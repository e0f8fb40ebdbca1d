//! Turns the contracts in `proto/` into the sources of the crate `wire`.
//!
//! It needs no protoc, and nothing of it runs in an ordinary build: the output is checked in, and
//! `--check` tells when it no longer matches the contracts.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};

/// Regenerates every checked-in source of `wire`.
///
/// # Errors
///
/// Fails when a contract does not parse or a file can't be written.
pub(crate) fn write(root: &Path) -> Result<()> {
    let target = root.join(WIRE);
    let wanted = generate(root)?;
    for stale in checked_in(&target)?.keys().filter(|path| !wanted.contains_key(*path)) {
        fs::remove_file(target.join(stale)).with_context(|| shown(stale))?;
    }
    for (path, text) in &wanted {
        let path = target.join(path);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).with_context(|| shown(folder))?;
        }
        fs::write(&path, text).with_context(|| shown(&path))?;
    }
    Ok(())
}

/// Compares the checked-in sources of `wire` with what the contracts would give now.
///
/// # Errors
///
/// Fails when they differ, naming the files, or when a contract does not parse.
pub(crate) fn check(root: &Path) -> Result<()> {
    let stale = differing(&generate(root)?, &checked_in(&root.join(WIRE))?);
    ensure!(
        stale.is_empty(),
        "generated code is stale, run `cargo xtask codegen`: {}",
        stale.join(", ")
    );
    Ok(())
}

/// Path below the source folder of `wire`, and text.
type Sources = BTreeMap<PathBuf, String>;

fn differing(wanted: &Sources, present: &Sources) -> Vec<String> {
    let changed = wanted.iter().filter(|(path, text)| present.get(*path) != Some(*text));
    let gone = present.iter().filter(|(path, _)| !wanted.contains_key(*path));
    changed.chain(gone).map(|(path, _)| path.display().to_string()).collect()
}

fn generate(root: &Path) -> Result<Sources> {
    let contracts = root.join("proto");
    let mut protos = files_below(&contracts, "proto")?;
    protos.sort();
    ensure!(!protos.is_empty(), "no contract found below `{}`", contracts.display());
    let descriptors = protox::compile(&protos, [&contracts]).context("contract does not parse")?;

    let out = tempfile::tempdir().context("no temporary folder")?;
    tonic_prost_build::configure()
        .build_client(true)
        .build_server(true)
        .build_transport(false)
        .codec_path("crate::codec::Lean")
        // A body that was received is handed on without being copied.
        .bytes(".")
        .out_dir(out.path())
        .compile_fds(descriptors)
        .context("code generation failed")?;

    let mut sources = Sources::new();
    for file in files_below(out.path(), "rs")? {
        let package = file.file_stem().and_then(|stem| stem.to_str()).context("file name")?;
        let package = if package == NO_PACKAGE { WORKLOAD_API } else { package };
        let text = fs::read_to_string(&file).with_context(|| shown(&file))?;
        let text = format(root, &format!("{}\n{text}", module_doc(package)))?;
        sources.insert(package.split('.').collect::<PathBuf>().with_extension("rs"), text);
    }
    sources.insert(PathBuf::from("lib.rs"), format(root, &table_of_contents(&sources))?);
    Ok(sources)
}

fn module_doc(package: &str) -> String {
    format!("//! Messages and services of the package `{package}`, as its contract states them.\n")
}

/// Renders `lib.rs`: one inline module per part of a package name, one `mod` per package.
fn table_of_contents(sources: &Sources) -> String {
    let mut text = String::from(LIB_HEAD);
    let mut open: Vec<String> = Vec::new();
    for path in sources.keys() {
        let module = path.with_extension("");
        let mut parts: Vec<String> =
            module.iter().map(|part| part.to_string_lossy().into_owned()).collect();
        let Some(leaf) = parts.pop() else { continue };
        let shared = open.iter().zip(&parts).take_while(|(a, b)| a == b).count();
        text.extend(open.drain(shared..).map(|_| "}\n"));
        for part in parts.drain(shared..) {
            text.push_str(&format!("pub mod {part} {{\n"));
            open.push(part);
        }
        text.push_str(&format!("pub mod {leaf};\n"));
    }
    text.extend(open.iter().map(|_| "}\n"));
    text
}

/// Runs rustfmt with the house settings, so that `cargo fmt --check` agrees with the generator.
fn format(root: &Path, text: &str) -> Result<String> {
    let mut rustfmt = Command::new("rustfmt")
        .args(["--edition", "2024", "--config-path"])
        .arg(root.join("rustfmt.toml"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("rustfmt did not start, `rustup component add rustfmt` installs it")?;
    let mut input = rustfmt.stdin.take().context("rustfmt has no standard input")?;
    // rustfmt reads all its input before it writes anything, so this can't block on a full pipe.
    input.write_all(text.as_bytes()).context("rustfmt ended early")?;
    drop(input);
    let output = rustfmt.wait_with_output().context("rustfmt did not end")?;
    if !output.status.success() {
        bail!("rustfmt ended with {}", output.status);
    }
    String::from_utf8(output.stdout).context("rustfmt printed something that is not text")
}

fn checked_in(folder: &Path) -> Result<Sources> {
    let mut sources = Sources::new();
    for file in files_below(folder, "rs")? {
        let name = file.strip_prefix(folder)?;
        if name != Path::new(BY_HAND) {
            let text = fs::read_to_string(&file).with_context(|| shown(&file))?;
            sources.insert(name.to_path_buf(), text);
        }
    }
    Ok(sources)
}

fn files_below(folder: &Path, extension: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| shown(folder))? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files_below(&path, extension)?);
        } else if path.extension().is_some_and(|it| it == extension) {
            found.push(path);
        }
    }
    Ok(found)
}

fn shown(path: &Path) -> String {
    format!("`{}`", path.display())
}

/// What the generator calls the file of contracts without a package; there is one such contract.
const NO_PACKAGE: &str = "_";
const WORKLOAD_API: &str = "workload";
const WIRE: &str = "crates/wire/src";
/// The one file there that is not generated.
const BY_HAND: &str = "codec.rs";

const LIB_HEAD: &str = r#"//! The gRPC contracts in `proto/` as Rust: messages, clients and servers.
//!
//! Nothing here decides anything, and nothing but `codec` is written by hand: `cargo xtask codegen`
//! makes the rest.

#![allow(
    clippy::all,
    clippy::pedantic,
    rustdoc::all,
    reason = "the shape of generated code is its generator's, its text comes from the contracts"
)]

pub mod codec;
"#;

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(entries: &[(&str, &str)]) -> Sources {
        entries.iter().map(|(path, text)| (PathBuf::from(path), (*text).to_owned())).collect()
    }

    #[test]
    fn packages_that_share_a_prefix_share_a_module() {
        let contents = table_of_contents(&sources(&[
            ("mas/v1.rs", ""),
            ("my/a/v1.rs", ""),
            ("my/b/v1.rs", ""),
        ]));
        let modules = contents.strip_prefix(LIB_HEAD).expect("head").replace('\n', " ");
        assert_eq!(
            modules,
            "pub mod mas { pub mod v1; } \
             pub mod my { pub mod a { pub mod v1; } pub mod b { pub mod v1; } } "
        );
    }

    #[test]
    fn changed_missing_and_orphaned_files_are_named() {
        let wanted = sources(&[("a.rs", "1"), ("b.rs", "2"), ("c.rs", "3")]);
        let present = sources(&[("a.rs", "1"), ("b.rs", "old"), ("d.rs", "4")]);
        assert_eq!(differing(&wanted, &present), ["b.rs", "c.rs", "d.rs"]);
    }

    #[test]
    fn a_contract_becomes_formatted_code_that_its_check_accepts() {
        let root = tempfile::tempdir().expect("folder");
        fs::create_dir_all(root.path().join("proto/p/v1")).expect("folder");
        fs::create_dir_all(root.path().join(WIRE)).expect("folder");
        fs::write(root.path().join("rustfmt.toml"), "max_width = 100\n").expect("file");
        let contract = "syntax = \"proto3\"; package p.v1; message M { bytes body = 1; }";
        fs::write(root.path().join("proto/p/v1/m.proto"), contract).expect("file");

        let stale = check(root.path()).expect_err("nothing is generated yet").to_string();
        assert!(stale.contains("lib.rs") && stale.contains("p/v1.rs"), "{stale}");
        write(root.path()).expect("generated");
        check(root.path()).expect("fresh");
        let code = fs::read_to_string(root.path().join(WIRE).join("p/v1.rs")).expect("file");
        assert!(code.contains("pub body: ::prost::bytes::Bytes"), "{code}");
    }
}
