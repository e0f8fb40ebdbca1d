//! `palisade audit key`: makes and shows the keys of logs and witnesses.
//!
//! The file is one line in the form of Go's `sumdb/note`, readable by its owner only.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use audit::{KeyError, KeyKind, SigningKey};
use identity::Overwrite;

use crate::failure::Failure;
use crate::output::Output;

#[derive(Debug, clap::Args)]
pub(super) struct KeyArgs {
    /// The file to make; it must not exist yet.
    #[arg(long, value_name = "FILE", required_unless_present = "of", conflicts_with = "of")]
    out: Option<PathBuf>,
    /// Show the public half of a key that is there.
    #[arg(long, value_name = "FILE")]
    of: Option<PathBuf>,
    /// The name of the log or the witness, such as example.com/audit; without it a random one.
    /// Checkpoints carry it, so it must not change.
    #[arg(long, value_name = "NAME", conflicts_with = "of")]
    origin: Option<String>,
    /// Make the key of a witness, for `palisade witness`.
    #[arg(long, conflicts_with = "of")]
    witness: bool,
}

/// Makes or shows a key.
pub(super) fn run(args: &KeyArgs, out: &Output) -> anyhow::Result<ExitCode> {
    let (path, key) = match (&args.of, &args.out) {
        (Some(path), _) => (path, load(path)?),
        (None, Some(path)) => (path, make(path, kind(args.witness), args.origin.as_deref())?),
        (None, None) => return Err(Failure::usage("usage", "give --out FILE or --of FILE").into()),
    };
    let verifier = key.verifier();
    if out.json {
        out.json(&serde_json::json!({
            "file": path,
            "name": verifier.name(),
            "witness": verifier.kind() == KeyKind::Witness,
            "verifier_key": verifier.to_string(),
        }))?;
    } else {
        out.line(&verifier.to_string())?;
    }
    Ok(ExitCode::SUCCESS)
}

const fn kind(is_witness: bool) -> KeyKind {
    if is_witness { KeyKind::Witness } else { KeyKind::Log }
}

/// Makes a key and writes it to a file that must not exist yet.
///
/// # Errors
/// Fails if the name cannot be a key's or the file cannot be written.
pub(crate) fn make(path: &Path, kind: KeyKind, name: Option<&str>) -> anyhow::Result<SigningKey> {
    let name = match name {
        Some(name) => name.to_owned(),
        None => random_name(kind)?,
    };
    let key = SigningKey::generate(kind, &name).map_err(|error| {
        if error == KeyError::BadName {
            Failure::usage(error.code(), error)
        } else {
            Failure::failed(error.code(), error)
        }
    })?;
    identity::write_secret(path, key.to_text().as_bytes(), Overwrite::Refuse)
        .map_err(|error| Failure::failed(error.code(), &error))?;
    Ok(key)
}

/// Reads a key.
///
/// # Errors
/// Fails if the file cannot be read, is open to others, or holds no such key.
pub(crate) fn load(path: &Path) -> anyhow::Result<SigningKey> {
    let bytes =
        identity::read_secret(path).map_err(|error| Failure::failed(error.code(), &error))?;
    let text = std::str::from_utf8(&bytes).map_err(|_invalid| KeyError::MalformedSecret);
    let key = text.and_then(SigningKey::parse);
    Ok(key
        .map_err(|error| Failure::failed(error.code(), format!("`{}`: {error}", path.display())))?)
}

/// Returns a name that no other log has; whoever wants one that says something gives it.
fn random_name(kind: KeyKind) -> anyhow::Result<String> {
    let random = SigningKey::generate(kind, "random")?;
    let [a, b, c, d] = random.verifier().id();
    let prefix = if kind == KeyKind::Log { "palisade" } else { "witness" };
    Ok(format!("{prefix}/{a:02x}{b:02x}{c:02x}{d:02x}"))
}
