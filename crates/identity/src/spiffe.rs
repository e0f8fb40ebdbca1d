//! SPIFFE IDs: one grammar, parsed by one function, and the pattern that finds an agent's name.
//!
//! Nothing here resolves a name or compares loosely: only the canonical form is an ID, so two IDs
//! are the same exactly when their bytes are.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

#[cfg(test)]
mod tests;

/// Holds a SPIFFE ID in canonical form, such as `spiffe://mas/agent/helpdesk`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpiffeId {
    text: String,
    path_start: usize,
}

impl SpiffeId {
    /// Parses an ID; accepts the canonical form only.
    ///
    /// The specification lets the scheme be written in any case. This parser does not, so that
    /// nobody has to think about normalisation when comparing.
    ///
    /// # Errors
    /// Returns which rule of the grammar is broken, with the byte offset where that helps.
    pub fn parse(text: &str) -> Result<Self, SpiffeIdError> {
        if text.len() > ID_BYTES_MAX {
            return Err(SpiffeIdError::TooLong { bytes: text.len() });
        }
        let rest = text.strip_prefix(SCHEME).ok_or(SpiffeIdError::Scheme)?;
        let domain_bytes = rest.find('/').unwrap_or(rest.len());
        let (domain, path) = rest.split_at_checked(domain_bytes).unwrap_or((rest, ""));
        check_trust_domain(domain)?;
        let path_start = SCHEME.len() + domain_bytes;
        check_path(path, path_start)?;
        Ok(Self { text: text.to_owned(), path_start })
    }

    /// Returns the trust domain, such as `mas`.
    #[must_use]
    pub fn trust_domain(&self) -> &str {
        self.text.get(SCHEME.len()..self.path_start).unwrap_or_default()
    }

    /// Returns the path with its leading slash, or nothing for the ID of a trust domain itself.
    #[must_use]
    pub fn path(&self) -> &str {
        self.text.get(self.path_start..).unwrap_or_default()
    }

    /// Returns the whole ID.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for SpiffeId {
    type Err = SpiffeIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

/// Says which rule of the SPIFFE ID grammar a text breaks; never repeats the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SpiffeIdError {
    /// The text is longer than every implementation must support.
    #[error("the ID has {bytes} bytes, at most {ID_BYTES_MAX} are accepted")]
    TooLong {
        /// How long it is.
        bytes: usize,
    },
    /// The text does not begin with the scheme.
    #[error("the ID does not begin with `spiffe://` in lower case")]
    Scheme,
    /// There is no trust domain between the scheme and the path.
    #[error("the trust domain is empty")]
    TrustDomainEmpty,
    /// The trust domain exceeds its own limit.
    #[error("the trust domain has {bytes} bytes, at most {TRUST_DOMAIN_BYTES_MAX} are accepted")]
    TrustDomainTooLong {
        /// How long it is.
        bytes: usize,
    },
    /// The trust domain carries a user, a port, an upper-case letter or another foreign character.
    #[error(
        "the trust domain has a forbidden character at byte {at}; lower-case letters, digits, \
         `.`, `-` and `_` are accepted, a user or a port is not"
    )]
    TrustDomainCharacter {
        /// Offset in the ID.
        at: usize,
    },
    /// Two slashes follow each other.
    #[error("the path has an empty segment at byte {at}")]
    EmptySegment {
        /// Offset in the ID.
        at: usize,
    },
    /// A segment is `.` or `..`.
    #[error("the path has a relative segment at byte {at}")]
    RelativeSegment {
        /// Offset in the ID.
        at: usize,
    },
    /// The path ends with a slash.
    #[error("the path ends with a slash")]
    TrailingSlash,
    /// The path carries a query, a fragment, an escape or another foreign character.
    #[error(
        "the path has a forbidden character at byte {at}; letters, digits, `.`, `-` and `_` are \
         accepted, a query, a fragment or an escape is not"
    )]
    PathCharacter {
        /// Offset in the ID.
        at: usize,
    },
}

/// Matches IDs of one trust domain and one path form, and takes the name out of them.
///
/// The path is made of literal segments and exactly one placeholder, as in `/agent/{agent_id}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdPattern {
    trust_domain: String,
    before: String,
    placeholder: String,
    after: String,
}

impl IdPattern {
    /// Compiles a pattern from a trust domain and a path such as `/agent/{agent_id}`.
    ///
    /// # Errors
    /// Returns an error if either part could never match a valid ID, or if the path has not
    /// exactly one placeholder.
    pub fn new(trust_domain: &str, path: &str) -> Result<Self, IdPatternError> {
        check_trust_domain(trust_domain).map_err(IdPatternError::TrustDomain)?;
        if !path.starts_with('/') {
            return Err(IdPatternError::NoSlash);
        }
        let (before, tail) = path.split_once('{').ok_or(IdPatternError::Placeholder)?;
        let (placeholder, after) = tail.split_once('}').ok_or(IdPatternError::Placeholder)?;
        let whole_segment = before.ends_with('/') && (after.is_empty() || after.starts_with('/'));
        if !whole_segment || !is_placeholder(placeholder) || after.contains('{') {
            return Err(IdPatternError::Placeholder);
        }
        let pattern = Self {
            trust_domain: trust_domain.to_owned(),
            before: before.to_owned(),
            placeholder: placeholder.to_owned(),
            after: after.to_owned(),
        };
        // The longest name shows that the literal parts are valid and leave room for every name.
        let longest = "x".repeat(NAME_BYTES_MAX);
        SpiffeId::parse(&pattern.join(&longest)).map_err(IdPatternError::Path)?;
        Ok(pattern)
    }

    /// Returns the name inside an ID, or nothing if the ID is not of this form.
    #[must_use]
    pub fn extract<'a>(&self, id: &'a SpiffeId) -> Option<&'a str> {
        if id.trust_domain() != self.trust_domain {
            return None;
        }
        let name = id.path().strip_prefix(&self.before)?.strip_suffix(&self.after)?;
        is_name(name).then_some(name)
    }

    /// Builds the ID of a name.
    ///
    /// # Errors
    /// Returns an error if the name is not 1 to 64 letters, digits, `_` or `-`.
    pub fn format(&self, name: &str) -> Result<SpiffeId, IdPatternError> {
        if !is_name(name) {
            return Err(IdPatternError::Name);
        }
        SpiffeId::parse(&self.join(name)).map_err(IdPatternError::Path)
    }

    fn join(&self, name: &str) -> String {
        format!("{SCHEME}{}{}{name}{}", self.trust_domain, self.before, self.after)
    }
}

impl fmt::Display for IdPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { trust_domain, before, placeholder, after } = self;
        write!(f, "{SCHEME}{trust_domain}{before}{{{placeholder}}}{after}")
    }
}

/// Says why a pattern, or a name put into it, is not usable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum IdPatternError {
    /// The trust domain breaks the grammar.
    #[error("the trust domain is not usable: {0}")]
    TrustDomain(#[source] SpiffeIdError),
    /// The literal parts of the path break the grammar.
    #[error("the path is not usable: {0}")]
    Path(#[source] SpiffeIdError),
    /// The path does not begin with a slash, so it would run into the trust domain.
    #[error("the path does not begin with `/`")]
    NoSlash,
    /// The path has no placeholder, several, or one that is not a whole segment.
    #[error(
        "the path needs exactly one segment that is a placeholder, as in `/agent/{{agent_id}}`"
    )]
    Placeholder,
    /// The name does not fit.
    #[error("a name has 1 to {NAME_BYTES_MAX} letters, digits, `_` or `-`")]
    Name,
}

fn check_trust_domain(domain: &str) -> Result<(), SpiffeIdError> {
    if domain.is_empty() {
        return Err(SpiffeIdError::TrustDomainEmpty);
    }
    let fits = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'_')
    };
    if let Some(at) = domain.bytes().position(|byte| !fits(byte)) {
        return Err(SpiffeIdError::TrustDomainCharacter { at: SCHEME.len() + at });
    }
    if domain.len() > TRUST_DOMAIN_BYTES_MAX {
        return Err(SpiffeIdError::TrustDomainTooLong { bytes: domain.len() });
    }
    Ok(())
}

/// Checks a path that is empty or begins with a slash; `start` is its offset in the ID.
fn check_path(path: &str, start: usize) -> Result<(), SpiffeIdError> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'/');
    if let Some(at) = path.bytes().position(|byte| !fits(byte)) {
        return Err(SpiffeIdError::PathCharacter { at: start + at });
    }
    if path.ends_with('/') {
        return Err(SpiffeIdError::TrailingSlash);
    }
    let mut at = start;
    // What stands before the first slash is nothing, and not a segment.
    for segment in path.split('/').skip(1) {
        at += 1;
        match segment {
            "" => return Err(SpiffeIdError::EmptySegment { at }),
            "." | ".." => return Err(SpiffeIdError::RelativeSegment { at }),
            _ => at += segment.len(),
        }
    }
    Ok(())
}

fn is_placeholder(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

fn is_name(name: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

pub(crate) const SCHEME: &str = "spiffe://";
/// LIMIT: what the SPIFFE specification obliges every implementation to support; we take no more.
const ID_BYTES_MAX: usize = 2048;
/// LIMIT: from the SPIFFE specification.
const TRUST_DOMAIN_BYTES_MAX: usize = 255;
/// LIMIT: the length of an agent's name on the wire.
const NAME_BYTES_MAX: usize = 64;
