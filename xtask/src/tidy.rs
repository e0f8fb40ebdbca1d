//! x
use anyhow::Result;
pub(crate) fn run(_: &std::path::Path) -> Result<std::process::ExitCode> {
    anyhow::bail!("x")
}
