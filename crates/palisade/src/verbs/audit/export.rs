//! `palisade audit export`: records as CSV or JSON, in a file that is whole or not there.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use audit::{Filter, export_csv, export_json};

use super::{Log, Select};
use crate::failure::Failure;
use crate::output::Output;

#[derive(Debug, clap::Args)]
pub(super) struct ExportArgs {
    #[command(flatten)]
    select: Select,
    /// The form.
    #[arg(long, value_enum)]
    format: Format,
    /// The file to write; without it, or with `-`, standard output.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// How many records at most.
    #[arg(long, default_value_t = usize::MAX, hide_default_value = true, value_name = "N")]
    limit: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For spreadsheets; cells that would run as a formula are made harmless.
    Csv,
    /// One indented array.
    Json,
}

/// Writes the export.
pub(super) fn run(args: &ExportArgs, log: &Log, out: &Output) -> anyhow::Result<ExitCode> {
    let filter = args.select.filter(args.limit)?;
    let Some(path) = args.out.as_deref().filter(|path| path.as_os_str() != "-") else {
        write(args.format, BufWriter::new(io::stdout()), log, &filter)?;
        return Ok(ExitCode::SUCCESS);
    };
    let count = to_file(path, args.format, log, &filter)?;
    if out.json {
        out.json(&serde_json::json!({ "exported": count, "file": path }))?;
    } else {
        out.line(&format!("{count} records in {}", path.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes beside the wanted place and renames at the end, so that half an export never looks whole.
fn to_file(path: &Path, format: Format, log: &Log, filter: &Filter) -> anyhow::Result<u64> {
    if path.exists() {
        let text = format!("`{}` exists already: choose another file", path.display());
        return Err(Failure::failed("file_exists", text).into());
    }
    let mut draft = path.as_os_str().to_owned();
    draft.push(".partial");
    let draft = PathBuf::from(draft);
    let file = create(&draft).with_context(|| format!("cannot write `{}`", draft.display()))?;
    let count = write(format, BufWriter::new(&file), log, filter)?;
    file.sync_all()?;
    fs::rename(&draft, path).with_context(|| format!("cannot write `{}`", path.display()))?;
    Ok(count)
}

/// The log says who spoke to whom: only the owner may read its copy.
fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
}

fn write(format: Format, out: impl Write, log: &Log, filter: &Filter) -> anyhow::Result<u64> {
    let records = audit::query(log.entries(1)?, filter);
    Ok(match format {
        Format::Csv => export_csv(out, records)?,
        Format::Json => export_json(out, records)?,
    })
}
