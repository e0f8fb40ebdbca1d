//! How long a suite tries.

/// How long a suite tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Effort {
    /// Whether it is the short form, which the test command runs.
    pub is_short: bool,
    /// The number of rounds, where it was given.
    pub rounds: Option<u32>,
}

impl Effort {
    /// Returns how often a case with these two numbers of rounds is tried.
    #[must_use]
    pub fn rounds(self, short: u32, long: u32) -> u32 {
        self.rounds.unwrap_or(if self.is_short { short } else { long })
    }
}
