//! What is wrong with the history of the log, for people: the log of the server and one file.
//!
//! The file says what is wrong now; `palisade audit verify` reads it. It is not proof of anything.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;

/// The alarms in force.
#[derive(Debug)]
pub(super) struct Alarms {
    file: PathBuf,
    raised: Mutex<BTreeMap<String, String>>,
}

impl Alarms {
    pub(super) fn new(folder: &Path) -> Self {
        Self { file: folder.join("alarm"), raised: Mutex::default() }
    }

    /// Raises an alarm, or changes it; said once.
    pub(super) fn raise(&self, about: &str, why: &str) {
        let mut raised = self.raised.lock();
        if raised.get(about).is_some_and(|known| known == why) {
            return;
        }
        tracing::error!(about, why, "ALARM: the audit log is not what was signed before");
        raised.insert(about.to_owned(), why.to_owned());
        self.write(&raised);
    }

    /// Ends an alarm, if there is one.
    pub(super) fn clear(&self, about: &str) {
        let mut raised = self.raised.lock();
        let was_raised = raised.remove(about).is_some();
        if was_raised {
            tracing::info!(about, "the alarm has ended");
        }
        if was_raised || (raised.is_empty() && self.file.exists()) {
            self.write(&raised);
        }
    }

    fn write(&self, raised: &BTreeMap<String, String>) {
        let text: String = raised.iter().map(|(about, why)| format!("{about}: {why}\n")).collect();
        let written =
            if text.is_empty() { fs::remove_file(&self.file) } else { fs::write(&self.file, text) };
        if let Err(cause) = written {
            tracing::error!(%cause, file = %self.file.display(), "cannot note the alarm");
        }
    }
}
