//! Certificates that should not be accepted, against the running gate.

use anyhow::Result;

use super::{Effort, Report};

pub(super) async fn run(_effort: Effort, _report: &mut Report) -> Result<()> {
    anyhow::bail!("not written yet")
}
