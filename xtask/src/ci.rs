//! x
use anyhow::Result;
pub(crate) fn run(_: &std::path::Path, _: bool) -> Result<std::process::ExitCode> {
    anyhow::bail!("x")
}
