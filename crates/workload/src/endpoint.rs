//! Where the agent listens: a Unix socket, written as the specification wants it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use thiserror::Error;

/// The variable of the environment that names the socket (SPIFFE Workload Endpoint, section 4).
pub const SOCKET_VARIABLE: &str = "SPIFFE_ENDPOINT_SOCKET";

/// Names the socket of a Workload API, such as `unix:///run/spire/agent.sock`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    path: PathBuf,
}

impl Endpoint {
    /// Parses an address; only Unix sockets are taken.
    ///
    /// # Errors
    /// Returns what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, EndpointError> {
        let rest = text.strip_prefix("unix:").ok_or(EndpointError::Scheme)?;
        // `unix:///path` with an empty authority, or `unix:/path` without one.
        let path = match rest.strip_prefix("//") {
            Some(path) if path.starts_with('/') => path,
            Some(_authority) => return Err(EndpointError::Authority),
            None => rest,
        };
        if !path.starts_with('/') || path.ends_with('/') {
            return Err(EndpointError::Path);
        }
        let is_plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#' | b'%');
        if path.len() > SOCKET_PATH_BYTES_MAX || !path.bytes().all(is_plain) {
            return Err(EndpointError::Path);
        }
        Ok(Self { path: PathBuf::from(path) })
    }

    /// Returns the path of the socket.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unix://{}", self.path.display())
    }
}

/// Says why a text is no address of a Workload API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EndpointError {
    /// It is not of the scheme `unix`.
    #[error("is no Unix socket; write `unix:///run/spire/agent.sock`, with the agent's own path")]
    Scheme,
    /// It names a host.
    #[error("names a host before the path; write `unix://` and a path that begins with `/`")]
    Authority,
    /// The path cannot be a socket's.
    #[error(
        "needs an absolute path of at most {SOCKET_PATH_BYTES_MAX} bytes, without spaces, `?`, `#` \
         and `%`"
    )]
    Path,
}

/// The kernel's own bound (`sun_path` in unix(7)), without the byte that ends it.
const SOCKET_PATH_BYTES_MAX: usize = 107;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_absolute_path_of_a_unix_socket_is_an_endpoint() {
        for text in ["unix:///run/agent.sock", "unix:/run/agent.sock"] {
            assert_eq!(Endpoint::parse(text).unwrap().path(), Path::new("/run/agent.sock"));
        }
        let long = format!("unix:///{}", "a".repeat(107));
        for (text, error) in [
            ("", EndpointError::Scheme),
            ("/run/agent.sock", EndpointError::Scheme),
            ("tcp://127.0.0.1:80", EndpointError::Scheme),
            ("unix://run/agent.sock", EndpointError::Authority),
            ("unix:run/agent.sock", EndpointError::Path),
            ("unix:///", EndpointError::Path),
            ("unix:///run/agent.sock?x", EndpointError::Path),
            ("unix:///run/agent sock", EndpointError::Path),
            (long.as_str(), EndpointError::Path),
        ] {
            assert_eq!(Endpoint::parse(text), Err(error), "{text}");
        }
    }
}
