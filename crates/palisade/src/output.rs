//! Everything that is printed: lines, JSON lines, tables and the one error line.
//!
//! It decides how things look for a person at a terminal, in a pipe and for a program; it does not
//! decide what is said.

use std::io::{self, IsTerminal as _, Write as _};

use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

use crate::failure::Failure;

/// Prints the results of a verb.
#[derive(Debug, Clone)]
pub(crate) struct Output {
    /// Whether a program reads: then only JSON goes to standard output.
    pub(crate) json: bool,
    /// Whether a person looks: then colours and progress are welcome.
    pub(crate) terminal: bool,
}

impl Output {
    /// Looks at where standard output goes.
    pub(crate) fn new(json: bool) -> Self {
        Self { json, terminal: !json && io::stdout().is_terminal() }
    }

    /// Prints one line.
    ///
    /// # Errors
    /// Returns what the system says, a closed pipe included; hand it up, the program ends quietly.
    pub(crate) fn line(&self, text: &str) -> io::Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        out.write_all(b"\n")?;
        out.flush()
    }

    /// Prints one value as one compact line of JSON.
    ///
    /// # Errors
    /// Returns what the system says, a closed pipe included.
    pub(crate) fn json(&self, value: &impl Serialize) -> io::Result<()> {
        let mut text = serde_json::to_vec(value)?;
        text.push(b'\n');
        let mut out = io::stdout().lock();
        out.write_all(&text)?;
        out.flush()
    }

    /// Prints a table: with lines at a terminal, plain columns in a pipe.
    ///
    /// # Errors
    /// Returns what the system says, a closed pipe included.
    pub(crate) fn table(&self, headers: &[&str], rows: &[Vec<String>]) -> io::Result<()> {
        let mut table = Table::new();
        table.set_header(headers.iter().copied());
        if self.terminal {
            table.load_style(presets::UTF8_FULL_CONDENSED);
            table.set_content_arrangement(ContentArrangement::Dynamic);
        } else {
            table.load_style(presets::NOTHING);
        }
        for row in rows {
            table.add_row(row.iter().map(|cell| clean(cell)));
        }
        let text = table.to_string();
        let trimmed: Vec<&str> = text.lines().map(str::trim_end).collect();
        self.line(&trimmed.join("\n"))
    }

    /// Prints a note for a person: to standard error, so that it never mixes with results.
    pub(crate) fn note(&self, text: &str) {
        if !self.json {
            eprintln!("{text}");
        }
    }

    /// Prints the one line that says why the program failed.
    pub(crate) fn error(&self, error: &anyhow::Error) {
        let message = chain(error);
        if self.json {
            let code = failure(error).map_or("failed", Failure::code);
            let line = serde_json::json!({ "error": { "code": code, "message": message } });
            println!("{line}");
        } else {
            // Several problems of one file come as several lines.
            eprintln!("error: {}", message.replace('\n', "\nerror: "));
        }
    }
}

/// Finds the failure with a code in an error's chain of causes.
pub(crate) fn failure(error: &anyhow::Error) -> Option<&Failure> {
    error.chain().find_map(|cause| cause.downcast_ref())
}

/// Tells whether the reader of our output has gone; that is its right and not an error.
pub(crate) fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<io::Error>()
            .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    })
}

/// Joins the causes of an error, leaving out those that the line before already said.
fn chain(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let part = cause.to_string();
        if text.is_empty() {
            text = part;
        } else if !text.contains(&part) {
            text.push_str(": ");
            text.push_str(&part);
        }
    }
    text
}

/// Keeps control characters of foreign text away from the terminal.
pub(crate) fn clean(cell: &str) -> String {
    if cell.chars().any(char::is_control) {
        cell.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
    } else {
        cell.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context as _;

    #[test]
    fn causes_are_said_once() {
        let error = anyhow::anyhow!("no such file").context("cannot read `a`: no such file");
        assert_eq!(chain(&error), "cannot read `a`: no such file");
        let error = anyhow::anyhow!("disk full").context("cannot write `a`");
        assert_eq!(chain(&error), "cannot write `a`: disk full");
    }

    #[test]
    fn a_failure_is_found_below_its_context() {
        let error: anyhow::Result<()> = Err(Failure::usage("config_missing", "no file").into());
        let error = error.context("cannot start").unwrap_err();
        assert_eq!(failure(&error).map(Failure::code), Some("config_missing"));
    }

    #[test]
    fn a_closed_pipe_is_recognised_through_a_context() {
        let error = anyhow::Error::from(io::Error::from(io::ErrorKind::BrokenPipe)).context("x");
        assert!(is_closed_pipe(&error));
        assert!(!is_closed_pipe(&anyhow::anyhow!("x")));
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        assert_eq!(clean("a\u{1b}[31mb"), "a\u{fffd}[31mb");
    }
}
