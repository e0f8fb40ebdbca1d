//! The loop of `palisade inspect dlp`: a line in, a line out, in order.
//!
//! A bad line does not end the run; it gets an answer that says so.

use std::borrow::Cow;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::ExitCode;

use inspect::{Action, Dlp, Document, Limits, Outcome, Seal, SealError, Severity};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::failure::EXIT_FAILED;

#[cfg(test)]
mod tests;

/// Answers every line of the input.
pub(super) fn run<R: Read>(
    dlp: &Dlp,
    mut input: BufReader<R>,
    mut output: impl Write,
) -> anyhow::Result<ExitCode> {
    let mut line = Vec::new();
    let mut number = 0_u64;
    let mut all_read = true;
    loop {
        line.clear();
        let size = read_line(&mut input, &mut line)?;
        if size == Size::End {
            break;
        }
        number += 1;
        if line.iter().all(u8::is_ascii_whitespace) && size == Size::Fits {
            continue;
        }
        let answer = if size == Size::TooLong {
            Err(Bad::new(
                "line_too_long",
                &format!("the line is longer than {LINE_BYTES_MAX} bytes"),
            ))
        } else {
            answer(dlp, &line)
        };
        match answer {
            Ok(answer) => write_json(&mut output, &answer)?,
            Err(bad) => {
                all_read = false;
                write_json(&mut output, &bad.at(number))?;
            }
        }
        // Whoever feeds line by line waits for the answer; whoever feeds a file does not.
        if input.buffer().is_empty() {
            output.flush()?;
        }
    }
    output.flush()?;
    Ok(if all_read { ExitCode::SUCCESS } else { ExitCode::from(EXIT_FAILED) })
}

/// Writes a line; what goes wrong stays an error of the system, so that a closed pipe is known.
fn write_json(output: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *output, value)?;
    output.write_all(b"\n")
}

/// What `data` and `text` have in common: one line of input.
#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow, default)]
    text: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
}

#[derive(Debug, Serialize)]
struct Answer {
    findings: Vec<Finding>,
    action: &'static str,
}

#[derive(Debug, Serialize)]
struct Finding {
    #[serde(rename = "type")]
    kind: std::sync::Arc<str>,
    start: usize,
    end: usize,
    severity: Severity,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    /// Present if the place is in the key and not in its value.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    in_key: bool,
}

#[derive(Debug, Serialize)]
struct BadLine {
    error: Bad,
}

/// Why a line has no findings; says no more of the line than a place in it.
#[derive(Debug, Serialize)]
struct Bad {
    code: &'static str,
    message: String,
    line: u64,
}

impl Bad {
    fn new(code: &'static str, message: &impl ToString) -> Self {
        Self { code, message: message.to_string(), line: 0 }
    }

    fn at(mut self, line: u64) -> BadLine {
        self.line = line;
        BadLine { error: self }
    }
}

fn answer(dlp: &Dlp, line: &[u8]) -> Result<Answer, Bad> {
    let line: Line<'_> = serde_json::from_slice(line).map_err(|error| not_json(&error))?;
    match (line.text, line.data) {
        (Some(text), None) => Ok(in_text(dlp, &text)),
        (None, Some(data)) => in_data(dlp, data.get()),
        (None, None) => Err(Bad::new("nothing_to_inspect", &"give `text` or `data`")),
        (Some(_), Some(_)) => Err(Bad::new("ambiguous", &"give `text` or `data`, not both")),
    }
}

fn not_json(error: &serde_json::Error) -> Bad {
    // The library's text for a wrong type quotes what it found; a place is enough.
    let what = if error.is_data() { "`text` must be a string, once" } else { "not JSON" };
    Bad::new("invalid_json", &format!("the line cannot be read at byte {}: {what}", error.column()))
}

fn in_text(dlp: &Dlp, text: &str) -> Answer {
    let found = dlp.scan_text(text);
    let action = found.iter().map(|finding| finding.action).max();
    let findings = found.into_iter().map(|finding| Finding {
        kind: finding.kind,
        start: finding.start,
        end: finding.end,
        severity: finding.severity,
        path: None,
        in_key: false,
    });
    Answer { findings: findings.collect(), action: action_name(action) }
}

fn in_data(dlp: &Dlp, data: &str) -> Result<Answer, Bad> {
    let document =
        Document::parse(data, &Limits::default()).map_err(|bad| Bad::new(bad.code(), &bad))?;
    let inspection = dlp.inspect(&document, Some(&Pretend));
    let action = match inspection.outcome {
        Outcome::Clean => None,
        Outcome::Alerted => Some(Action::Alert),
        Outcome::Redacted(_) => Some(Action::Redact),
        Outcome::Encrypted(_) => Some(Action::Encrypt),
        Outcome::Blocked => Some(Action::Block),
    };
    let findings = inspection.findings.into_iter().map(|finding| Finding {
        kind: finding.kind,
        start: finding.start,
        end: finding.end,
        severity: finding.severity,
        path: Some(finding.path),
        in_key: finding.in_key,
    });
    Ok(Answer { findings: findings.collect(), action: action_name(action) })
}

const fn action_name(action: Option<Action>) -> &'static str {
    match action {
        None => "allow",
        Some(Action::Alert) => "alert",
        Some(Action::Redact) => "redact",
        Some(Action::Encrypt) => "encrypt",
        Some(Action::Block) => "block",
    }
}

/// Stands for a recipient with a key: what the policy says is asked here, not who can open it.
struct Pretend;

impl Seal for Pretend {
    fn seal(&self, _plaintext: &str) -> Result<String, SealError> {
        Ok(format!("{}AAAA", identity::SEALED_PREFIX))
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Size {
    Fits,
    TooLong,
    End,
}

/// Reads one line without its end; of a line that is too long it keeps nothing.
fn read_line(input: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<Size> {
    let mut size = Size::End;
    loop {
        let room = input.fill_buf()?;
        if room.is_empty() {
            return Ok(size);
        }
        if size == Size::End {
            size = Size::Fits;
        }
        let end = room.iter().position(|byte| *byte == b'\n');
        let (part, _rest) = room.split_at_checked(end.unwrap_or(room.len())).unwrap_or_default();
        if size == Size::Fits && line.len() + part.len() > LINE_BYTES_MAX {
            size = Size::TooLong;
            line.clear();
        }
        if size == Size::Fits {
            line.extend_from_slice(part);
        }
        let used = part.len() + usize::from(end.is_some());
        input.consume(used);
        if end.is_some() {
            return Ok(size);
        }
    }
}

/// LIMIT: twice what the gate takes as a payload, for text whose escapes make it longer.
const LINE_BYTES_MAX: usize = 8 * 1024 * 1024;
