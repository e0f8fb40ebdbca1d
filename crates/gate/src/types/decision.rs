//! The outcome of the pipeline as the audit log names it.

use std::fmt;

/// What the gate decided; the first eight are those of the MAS server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Decision {
    /// Accepted with nothing found.
    Allowed,
    /// Accepted; inspection found something that only alerts.
    Alert,
    /// Accepted after sensitive values were masked.
    DlpRedacted,
    /// Accepted after sensitive values were encrypted to the recipient.
    DlpEncrypted,
    /// Refused by inspection.
    DlpBlocked,
    /// Refused by a rate limit.
    RateLimited,
    /// Refused because the target keeps failing.
    CircuitOpen,
    /// Refused by the access rules.
    AuthzDenied,
    /// Refused because the caller's identity did not hold.
    AuthnFailed,
    /// Refused because the request itself was malformed or out of place.
    Invalid,
    /// Refused because a bound of the gate was reached or the store could not answer.
    Backpressure,
}

impl Decision {
    /// All of them, in the order of their definition.
    pub const ALL: [Self; 11] = [
        Self::Allowed,
        Self::Alert,
        Self::DlpRedacted,
        Self::DlpEncrypted,
        Self::DlpBlocked,
        Self::RateLimited,
        Self::CircuitOpen,
        Self::AuthzDenied,
        Self::AuthnFailed,
        Self::Invalid,
        Self::Backpressure,
    ];

    /// Returns the token that stands in records and on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "ALLOWED",
            Self::Alert => "ALERT",
            Self::DlpRedacted => "DLP_REDACTED",
            Self::DlpEncrypted => "DLP_ENCRYPTED",
            Self::DlpBlocked => "DLP_BLOCKED",
            Self::RateLimited => "RATE_LIMITED",
            Self::CircuitOpen => "CIRCUIT_OPEN",
            Self::AuthzDenied => "AUTHZ_DENIED",
            Self::AuthnFailed => "AUTHN_FAILED",
            Self::Invalid => "INVALID",
            Self::Backpressure => "BACKPRESSURE",
        }
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
