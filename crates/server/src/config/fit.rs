//! Checks a configuration tree against the schema and makes the value that the types read.
//!
//! All problems of single keys are found here, each with its place; what depends on several
//! keys is `resolve`'s part.

use std::net::SocketAddr;

use serde_json::{Map, Number, Value as Json};

use super::error::{ConfigErrorCode, Report};
use super::keys::{Keys, Kind, closest};
use super::tree::{Key, Node, Origin, Scalar, Value};

/// Returns the tree as the schema understands it; what does not fit is reported and left out.
pub(super) fn fit(keys: &Keys, root: &Node, report: &mut Report) -> Json {
    let mut fit = Fit { keys, report };
    fit.value(keys.root(), root, "").unwrap_or_else(|| Json::Object(Map::new()))
}

struct Fit<'a> {
    keys: &'a Keys,
    report: &'a mut Report,
}

impl Fit<'_> {
    fn value(&mut self, schema: &Json, node: &Node, path: &str) -> Option<Json> {
        let shape = self.keys.shape(schema);
        let is_section = matches!(shape.kind, Kind::Section { .. } | Kind::Named { .. });
        if matches!(node.value, Value::Null) && shape.is_nullable && !is_section {
            return Some(Json::Null);
        }
        match shape.kind {
            Kind::Section { keys, required } => self.section(keys, &required, (node, path)),
            Kind::Named { value, names } => self.named(value, names, (node, path)),
            Kind::List(items) => self.list(items, node, path),
            Kind::Text { choices } => self.text(&choices, shape.format, (node, path)),
            Kind::Whole { min, max } => self.whole(min, max, (node, path)),
            Kind::Fraction { min, max } => self.fraction(min, max, (node, path)),
            Kind::Flag => self.flag(node, path),
            Kind::Any => self.any(node, path),
        }
    }

    fn section(
        &mut self,
        keys: &Map<String, Json>,
        required: &[&str],
        (node, path): (&Node, &str),
    ) -> Option<Json> {
        let entries = self.entries(node, path)?;
        let mut made = Map::new();
        for (key, node) in entries {
            let path = below(path, &key.name);
            if let Some(schema) = keys.get(&key.name) {
                if let Some(value) = self.value(schema, node, &path) {
                    made.insert(key.name.clone(), value);
                }
            } else if let Some(hint) = hint(&path, None) {
                self.report.add(ConfigErrorCode::UnknownKey, &key.at, &path, hint);
            } else {
                let meant = self.keys.meant(&key.name, keys);
                let message = (path.as_str(), "unknown key".to_owned());
                self.report.suggest(ConfigErrorCode::UnknownKey, &key.at, message, meant);
            }
        }
        for name in required {
            if !entries.iter().any(|(key, _)| key.name == *name) {
                self.missing(keys.get(*name), &node.at, &below(path, name));
            }
        }
        Some(Json::Object(made))
    }

    /// Reports the required keys that a missing key stands for.
    fn missing(&mut self, schema: Option<&Json>, at: &Origin, path: &str) {
        if let Some(Kind::Section { keys, required }) =
            schema.map(|schema| self.keys.shape(schema).kind)
            && !required.is_empty()
        {
            for name in required {
                self.missing(keys.get(name), at, &below(path, name));
            }
            return;
        }
        self.report.add(ConfigErrorCode::MissingKey, at, path, "is required");
    }

    fn named(
        &mut self,
        schema: &Json,
        names: Option<&str>,
        (node, path): (&Node, &str),
    ) -> Option<Json> {
        let entries = self.entries(node, path)?;
        let mut made = Map::new();
        for (key, node) in entries {
            let path = below(path, &key.name);
            if let Err(message) = check(names, &key.name) {
                self.report.add(ConfigErrorCode::Value, &key.at, &path, message);
            }
            if let Some(value) = self.value(schema, node, &path) {
                made.insert(key.name.clone(), value);
            }
        }
        Some(Json::Object(made))
    }

    /// Returns the entries of a mapping; a section of which everything is commented out is one.
    fn entries<'n>(&mut self, node: &'n Node, path: &str) -> Option<&'n [(Key, Node)]> {
        match &node.value {
            Value::Map(entries) => Some(entries),
            Value::Null => Some(&[]),
            Value::Scalar(..) | Value::List(_) => self.wrong(node, path, "a mapping of keys"),
        }
    }

    fn list(&mut self, schema: &Json, node: &Node, path: &str) -> Option<Json> {
        let items = match &node.value {
            Value::List(items) => items.as_slice(),
            Value::Null => &[],
            Value::Scalar(..) | Value::Map(_) => return self.wrong(node, path, "a list"),
        };
        let mut made = Vec::new();
        for (at, item) in items.iter().enumerate() {
            made.extend(self.value(schema, item, &format!("{path}[{at}]")));
        }
        Some(Json::Array(made))
    }

    fn text(
        &mut self,
        choices: &[&str],
        format: Option<&str>,
        (node, path): (&Node, &str),
    ) -> Option<Json> {
        let Value::Scalar(_, text) = &node.value else {
            return self.wrong(node, path, "a text");
        };
        if !choices.is_empty() && !choices.contains(&text.as_str()) {
            let listed = format!("must be one of {}", choices.join(", "));
            let message = hint(path, Some(text)).map_or(listed, str::to_owned);
            let meant = closest(text, choices.iter().copied()).map(str::to_owned);
            self.report.suggest(ConfigErrorCode::Value, &node.at, (path, message), meant);
            return None;
        }
        if let Err(message) = check(format, text) {
            self.report.add(ConfigErrorCode::Value, &node.at, path, message);
            return None;
        }
        Some(Json::String(text.clone()))
    }

    fn whole(&mut self, min: i128, max: i128, (node, path): (&Node, &str)) -> Option<Json> {
        let Value::Scalar(Scalar::Whole(number), _) = node.value else {
            return self.wrong(node, path, "a whole number");
        };
        match u64::try_from(number) {
            Ok(small) if (min..=max).contains(&number) => Some(Json::Number(small.into())),
            Ok(_) | Err(_) => {
                let message = format!("must be from {min} to {max}");
                self.report.add(ConfigErrorCode::Value, &node.at, path, message);
                None
            }
        }
    }

    fn fraction(&mut self, min: f64, max: f64, (node, path): (&Node, &str)) -> Option<Json> {
        let number = match &node.value {
            Value::Scalar(Scalar::Fraction(number), _) => *number,
            // The text of a whole number is a number in YAML, and as exact as can be.
            Value::Scalar(Scalar::Whole(whole), _) => {
                f64::from(i32::try_from(*whole).unwrap_or(if *whole < 0 {
                    i32::MIN
                } else {
                    i32::MAX
                }))
            }
            Value::Null | Value::Scalar(..) | Value::List(_) | Value::Map(_) => {
                return self.wrong(node, path, "a number");
            }
        };
        let made = Number::from_f64(number).filter(|_| (min..=max).contains(&number));
        if made.is_none() {
            let message = format!("must be from {min} to {max}");
            self.report.add(ConfigErrorCode::Value, &node.at, path, message);
        }
        made.map(Json::Number)
    }

    fn flag(&mut self, node: &Node, path: &str) -> Option<Json> {
        let flag = match &node.value {
            Value::Scalar(Scalar::Flag(flag), _) => Some(*flag),
            // YAML 1.1, which MAS files are written in, has these too.
            Value::Scalar(Scalar::Text, text) => match text.to_ascii_lowercase().as_str() {
                "yes" | "on" => Some(true),
                "no" | "off" => Some(false),
                _ => None,
            },
            Value::Null | Value::Scalar(..) | Value::List(_) | Value::Map(_) => None,
        };
        match flag {
            Some(flag) => Some(Json::Bool(flag)),
            None => self.wrong(node, path, "true or false"),
        }
    }

    fn any(&mut self, node: &Node, path: &str) -> Option<Json> {
        Some(match &node.value {
            Value::Null => Json::Null,
            Value::Scalar(Scalar::Flag(flag), _) => Json::Bool(*flag),
            Value::Scalar(Scalar::Text, text) => Json::String(text.clone()),
            Value::Scalar(Scalar::Whole(number), _) => {
                let number = Number::from_i128(*number);
                return self.number(number, node, path);
            }
            Value::Scalar(Scalar::Fraction(number), _) => {
                return self.number(Number::from_f64(*number), node, path);
            }
            Value::List(items) => {
                let items = items.iter().enumerate();
                let made = items.filter_map(|(at, item)| self.any(item, &format!("{path}[{at}]")));
                Json::Array(made.collect())
            }
            Value::Map(entries) => {
                let made = entries.iter().filter_map(|(key, node)| {
                    Some((key.name.clone(), self.any(node, &below(path, &key.name))?))
                });
                Json::Object(made.collect())
            }
        })
    }

    fn number(&mut self, number: Option<Number>, node: &Node, path: &str) -> Option<Json> {
        if number.is_none() {
            let message = "is a number that JSON cannot hold; put it in quotes";
            self.report.add(ConfigErrorCode::Value, &node.at, path, message);
        }
        number.map(Json::Number)
    }

    fn wrong<T>(&mut self, node: &Node, path: &str, wanted: &str) -> Option<T> {
        let message = if matches!(node.value, Value::Null) {
            format!("has no value; write {wanted} or remove the key")
        } else {
            format!("must be {wanted}, not {}", node.kind())
        };
        self.report.add(ConfigErrorCode::Value, &node.at, path, message);
        None
    }
}

/// Returns the way to a key, fit for a message whatever the key is.
pub(super) fn below(path: &str, key: &str) -> String {
    // LIMIT: characters of a key in a message.
    let shown: String = key.chars().take(64).flat_map(char::escape_debug).collect();
    if path.is_empty() { shown } else { format!("{path}.{shown}") }
}

/// Checks a text against a format of the schema.
fn check(format: Option<&str>, text: &str) -> Result<(), &'static str> {
    match format {
        Some("socket-address") if text.parse::<SocketAddr>().is_err() => {
            Err("must be an IP address and a port, such as 127.0.0.1:50051 or [::1]:50051")
        }
        Some("path") if text.is_empty() => Err("must not be empty"),
        Some("path") if text.contains('\0') => Err("has a null character, which no path has"),
        Some("sealing-key") if identity::SealingKey::parse(text).is_err() => Err(
            "is no X25519 public key in base64url; copy what `palisade cert agent --seal` printed",
        ),
        Some("spiffe-id") if identity::SpiffeId::parse(text).is_err() => {
            Err("is no SPIFFE ID in canonical form, such as spiffe://example.org/agent/billing")
        }
        Some("trust-domain") if !is_trust_domain(text) => {
            Err("a trust domain has 1 to 255 lower-case letters, digits, `.`, `-` or `_`, and no \
             `spiffe://`")
        }
        Some("witness-url") if !is_witness_url(text) => {
            Err("must be http://, a host and perhaps port and path, such as http://10.0.0.7:8091; \
             plain HTTP, because all that is said is signed")
        }
        Some("witness-key") if !is_witness_key(text) => {
            Err("is no public key of a witness; copy what `palisade audit key --witness` printed")
        }
        Some("agent-id" | "operator-name" | "role-name") if !is_name(text) => {
            Err("a name has 1 to 64 letters, digits, `_` or `-`")
        }
        _ => Ok(()),
    }
}

fn is_trust_domain(text: &str) -> bool {
    identity::SpiffeId::parse(&format!("spiffe://{text}")).is_ok_and(|id| id.path().is_empty())
}

fn is_witness_url(text: &str) -> bool {
    text.parse::<http::Uri>().is_ok_and(|url| {
        url.scheme_str() == Some("http")
            && url.host().is_some_and(|host| !host.is_empty())
            && url.query().is_none()
            && !text.contains('@')
    })
}

fn is_witness_key(text: &str) -> bool {
    audit::VerifierKey::parse(text).is_ok_and(|key| key.kind() == audit::KeyKind::Witness)
}

fn is_name(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    (1..=64).contains(&text.len()) && text.bytes().all(fits)
}

/// Returns what to say about a key or value that this version knows of and does not take.
fn hint(path: &str, value: Option<&str>) -> Option<&'static str> {
    match (path, value) {
        ("storage.engine", Some("redis")) | ("storage.url", None) => {
            Some("a Redis store is not available in this version; use engine embedded")
        }
        ("storage.engine", Some("memory")) => {
            Some("a store in memory is for tests only; use engine embedded")
        }
        _ => None,
    }
}

/// What is said where the TLS files are missing, which have no default.
pub(super) const TLS_REQUIRED: &str = "is required; `palisade dev` makes a configuration with \
                                       certificates, `palisade cert` makes certificates";
