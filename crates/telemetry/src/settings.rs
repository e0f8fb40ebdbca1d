//! What an operator sets, checked.
//!
//! Headers are secrets: they have no `Debug`, no error repeats them, and only the request to the
//! collector reads them.

use std::fmt;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Uri};

/// What is exported, as what, and where to.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where the collector is.
    pub endpoint: Endpoint,
    /// What the collector wants to see, such as a token.
    pub headers: Headers,
    /// The share of traces that is kept, of those that begin here; from 0 to 1.
    pub sample_ratio: f64,
    /// The time between two exports of metrics; none exports no metrics.
    pub metrics_interval: Option<Duration>,
    /// The resource's `service.name`.
    pub service_name: String,
    /// The resource's `service.namespace`.
    pub service_namespace: String,
    /// The resource's `deployment.environment.name`.
    pub environment: String,
    /// The resource's `service.instance.id`: one process.
    pub instance: String,
    /// The resource's `service.version`.
    pub version: &'static str,
}

/// Where a collector is: `http://` or `https://`, host, perhaps port and path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    pub(crate) is_tls: bool,
    pub(crate) host: String,
    pub(crate) port: u16,
    /// The path before `/v1/traces`.
    pub(crate) path: String,
    /// Host and perhaps port, as the URL has them.
    pub(crate) authority: String,
}

impl Endpoint {
    /// Reads a URL.
    ///
    /// # Errors
    /// Returns what is wrong with it; the text itself is not repeated, as it may hold a password.
    pub fn parse(text: &str) -> Result<Self, SettingsError> {
        let bad = |why| SettingsError::Endpoint(why);
        let uri: Uri = text.parse().map_err(|_invalid| bad("is no URL"))?;
        let is_tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(bad("must begin with http:// or https://")),
        };
        let authority = uri.authority().ok_or_else(|| bad("names no host"))?;
        if authority.as_str().contains('@') {
            return Err(bad("must not hold a user or password; use headers"));
        }
        if uri.query().is_some() || text.contains('#') {
            return Err(bad("must end with its path"));
        }
        // An IPv6 address stands in brackets in a URL and without them for the system.
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        let port = authority.port_u16();
        if host.is_empty() || (port.is_none() && authority.as_str() != authority.host()) {
            return Err(bad("has no usable host and port"));
        }
        Ok(Self {
            is_tls,
            host: host.to_owned(),
            port: port.unwrap_or(if is_tls { 443 } else { 80 }),
            path: uri.path().trim_end_matches('/').to_owned(),
            authority: authority.as_str().to_owned(),
        })
    }
}

/// Writes the URL.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_tls { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority, self.path)
    }
}

/// What the collector wants to see beside the data; secrets.
#[derive(Clone, Default)]
pub struct Headers(pub(crate) Vec<(HeaderName, HeaderValue)>);

impl Headers {
    /// Reads names and values.
    ///
    /// # Errors
    /// Returns the name of the first that cannot be sent.
    pub fn parse<'a>(
        pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, SettingsError> {
        let mut headers = Vec::new();
        for (name, value) in pairs {
            // LIMIT: characters of a name in an error.
            let shown = || name.chars().take(64).flat_map(char::escape_debug).collect();
            let bad = |why| SettingsError::Header { name: shown(), why };
            let parsed = HeaderName::try_from(name).map_err(|_invalid| bad("is no header name"))?;
            if OURS.contains(&parsed.as_str()) {
                return Err(bad("is set by the exporter itself"));
            }
            let mut value = HeaderValue::try_from(value)
                .map_err(|_invalid| bad("has a value that no header can hold"))?;
            value.set_sensitive(true);
            headers.push((parsed, value));
        }
        Ok(Self(headers))
    }
}

impl fmt::Debug for Headers {
    /// Prints the names only.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.iter().map(|(name, _)| name.as_str())).finish()
    }
}

/// Says which setting cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// The collector's URL.
    #[error("{0}; write it as http://localhost:4318")]
    Endpoint(&'static str),
    /// A header.
    #[error("`{name}` {why}")]
    Header {
        /// Its name.
        name: String,
        /// What is wrong.
        why: &'static str,
    },
}

/// Headers that say what a request is, not who sends it.
const OURS: [&str; 7] = [
    "host",
    "connection",
    "content-type",
    "content-length",
    "content-encoding",
    "transfer-encoding",
    "upgrade",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_taken_apart() {
        let cases = [
            ("http://localhost:4318", (false, "localhost", 4318, "")),
            ("http://localhost:4318/", (false, "localhost", 4318, "")),
            ("http://collector/otlp/", (false, "collector", 80, "/otlp")),
            ("https://otel.example.org", (true, "otel.example.org", 443, "")),
            ("http://[::1]:4318/x", (false, "::1", 4318, "/x")),
        ];
        for (text, (is_tls, host, port, path)) in cases {
            let endpoint = Endpoint::parse(text).unwrap();
            let parts = (endpoint.is_tls, endpoint.host.as_str(), endpoint.port);
            assert_eq!((parts, endpoint.path.as_str()), ((is_tls, host, port), path), "{text}");
            assert_eq!(endpoint.to_string(), text.trim_end_matches('/'));
        }
    }

    #[test]
    fn a_bad_endpoint_is_refused_and_not_repeated() {
        for text in [
            "localhost:4318",
            "grpc://localhost:4317",
            "/v1/traces",
            "http://",
            "http://me:hunter2@localhost:4318",
            "http://localhost:4318?token=hunter2",
            "http://localhost:4318#hunter2",
            "http://localhost:99999",
            "http://local host",
            "",
        ] {
            let error = Endpoint::parse(text).expect_err(text).to_string();
            assert!(!error.contains("hunter2") && error.contains("http://localhost"), "{error}");
        }
    }

    #[test]
    fn a_header_is_a_secret() {
        let headers = Headers::parse([("authorization", "Bearer hunter2")]).unwrap();
        assert_eq!(format!("{headers:?}"), "{\"authorization\"}");
        for (name, value) in
            [("bad name", "hunter2"), ("x", "hunter2\r\nhost: y"), ("Content-Length", "hunter2")]
        {
            let error = Headers::parse([(name, value)]).expect_err(name).to_string();
            assert!(!error.contains("hunter2") && error.contains(name), "{error}");
        }
    }
}
