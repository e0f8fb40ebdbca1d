//! Where a check must say that a log was changed, worked out from what was done to it and not from
//! what the check says.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

/// What a check must name.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Expected {
    /// The first problem is at this place.
    Place(String),
    /// The log cannot be held against a checkpoint, because it begins with this record.
    Beginning(u64),
}

/// Whether the chain behind a change was made anew, so that only checkpoints tell of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Chain {
    Broken,
    Anew,
}

impl Expected {
    /// Returns what must be said of lines that were made from others, of which the trees over the
    /// first so many records were kept.
    pub(super) fn of_lines(
        file: &str,
        (whole, changed): (&[String], &[String]),
        chain: Chain,
        kept: &[u64],
    ) -> Result<Self> {
        let sound = sound_lines(whole, changed);
        let first_wrong = match chain {
            Chain::Broken => sound,
            // The first tree that has a changed record is the one that differs.
            Chain::Anew => {
                let trees = kept.iter().filter(|size| **size > sound as u64);
                usize::try_from(*trees.min().context("no tree has the changed record")?)? - 1
            }
        };
        if sound == 0 && chain == Chain::Broken {
            let first = changed.first().context("no line is left")?;
            let number: Value = serde_json::from_str(first)?;
            return Ok(Self::Beginning(number["seq"].as_u64().context("no number")?));
        }
        let place = match first_wrong.min(changed.len()) {
            end if end == changed.len() => at_end(Some((file, offset(changed, end - 1)))),
            line => format!("position {}, {file}, byte {}", line + 1, offset(changed, line)),
        };
        Ok(Self::Place(place))
    }

    /// Returns what must be said of a byte of a file.
    pub(super) fn byte(file: &Path, offset: usize) -> Self {
        Self::Place(format!("{}, byte {offset}", file.display()))
    }

    /// Returns what must be said of a log that ends too early, with this file.
    pub(super) fn end(last: Option<(&Path, &[u8])>) -> Result<Self> {
        let last = last.map(|(file, bytes)| {
            let frame = *frames(bytes)?.last().context("a file without a frame")?;
            anyhow::Ok((file.display().to_string(), frame))
        });
        let last = last.transpose()?;
        Ok(Self::Place(at_end(last.as_ref().map(|(file, offset)| (file.as_str(), *offset)))))
    }

    /// Returns what must be said where the first record that is there is the first of this file.
    pub(super) fn first_of(file: &Path) -> Self {
        Self::Place(format!("position 1, {}, byte {MAGIC_BYTES}", file.display()))
    }

    /// Checks that a report names it before anything else.
    pub(super) fn check(&self, found: &Value) -> Result<()> {
        match self {
            Self::Place(place) => {
                let named = found.pointer("/problems/0/place").and_then(Value::as_str);
                ensure!(named == Some(place), "`{place}` is wrong, and not `{named:?}`: {found}");
            }
            Self::Beginning(number) => {
                let code = found.pointer("/error/code").and_then(Value::as_str);
                let says = found.pointer("/error/message").and_then(Value::as_str);
                let words = format!("begins with record {number},");
                let is_named = says.is_some_and(|says| says.contains(&words));
                ensure!(code == Some("checkpoint_unreachable") && is_named, "{words} {found}");
            }
        }
        Ok(())
    }
}

/// Returns how many lines at the beginning are as they were.
pub(super) fn sound_lines(whole: &[String], changed: &[String]) -> usize {
    whole.iter().zip(changed).take_while(|(line, other)| line == other).count()
}

/// Returns where each frame of an archive begins, from the lengths in it; see `audit-format.md`.
pub(super) fn frames(bytes: &[u8]) -> Result<Vec<usize>> {
    let (mut all, mut at) = (Vec::new(), MAGIC_BYTES);
    while let Some(length) = bytes.get(at..).and_then(<[u8]>::first_chunk) {
        all.push(at);
        at += HEAD_BYTES + usize::try_from(u32::from_le_bytes(*length))?;
    }
    ensure!(at == bytes.len(), "the frames end at {at}, and the file at {}", bytes.len());
    Ok(all)
}

/// Returns where the frame begins that holds a byte; the first bytes of a file belong to none.
pub(super) fn frame_of(bytes: &[u8], at: usize) -> Result<usize> {
    Ok(frames(bytes)?.into_iter().rfind(|frame| *frame <= at).unwrap_or_default())
}

fn at_end(last: Option<(&str, usize)>) -> String {
    match last {
        None => "end of the log".to_owned(),
        Some((file, offset)) => format!("end of the log, last entry at {file}, byte {offset}"),
    }
}

fn offset(lines: &[String], line: usize) -> usize {
    lines.iter().take(line).map(|line| line.len() + 1).sum()
}

const MAGIC_BYTES: usize = 8;
/// Length and checksum.
const HEAD_BYTES: usize = 8;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn lines(numbers: &[u64]) -> Vec<String> {
        numbers.iter().map(|number| format!("{{\"seq\":{number}}}")).collect()
    }

    fn expected(changed: &[u64], chain: Chain, kept: &[u64]) -> Expected {
        let whole = lines(&[1, 2, 3, 4, 5, 6]);
        Expected::of_lines("log", (&whole, &lines(changed)), chain, kept).unwrap()
    }

    fn place(text: &str) -> Expected {
        Expected::Place(text.to_owned())
    }

    #[test]
    fn the_first_line_that_differs_is_named_or_the_end() {
        let broken = |changed: &[u64]| expected(changed, Chain::Broken, &[]);
        assert_eq!(broken(&[1, 2, 9, 4]), place("position 3, log, byte 20"));
        assert_eq!(broken(&[1, 2]), place("end of the log, last entry at log, byte 10"));
        assert_eq!(broken(&[3, 2, 1]), Expected::Beginning(3));
    }

    #[test]
    fn behind_a_new_chain_the_first_tree_with_the_change_is_named() {
        let anew = |changed: &[u64]| expected(changed, Chain::Anew, &[6, 2, 4]);
        assert_eq!(anew(&[1, 2, 9, 4, 5, 6]), place("position 4, log, byte 30"));
        assert_eq!(anew(&[9, 2, 3, 4, 5, 6]), place("position 2, log, byte 10"));
        let end = place("end of the log, last entry at log, byte 40");
        assert_eq!(anew(&[1, 2, 3, 4, 6]), end);
    }

    #[test]
    fn frames_are_found_by_their_lengths() {
        let mut bytes = vec![0; MAGIC_BYTES];
        for length in [3_u8, 5] {
            bytes.extend([length, 0, 0, 0, 9, 9, 9, 9]);
            bytes.resize(bytes.len() + usize::from(length), 1);
        }
        assert_eq!(frames(&bytes).unwrap(), [8, 19]);
        assert_eq!([0, 8, 18, 19, 30].map(|at| frame_of(&bytes, at).unwrap()), [0, 8, 8, 19, 19]);
        bytes.pop();
        assert!(frames(&bytes).is_err());
    }

    #[test]
    fn another_place_than_the_right_one_is_no_find() {
        let found = json!({ "problems": [{ "place": "position 3, log, byte 20" }] });
        assert!(place("position 3, log, byte 20").check(&found).is_ok());
        assert!(place("position 2, log, byte 10").check(&found).is_err());
        assert!(Expected::Beginning(3).check(&found).is_err());
        assert!(place("position 1, log, byte 0").check(&json!({ "error": "x" })).is_err());
    }
}
