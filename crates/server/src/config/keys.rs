//! The JSON Schema of the configuration, and how it is asked what may stand where.
//!
//! It understands the part of JSON Schema that our own types produce and nothing more; a test
//! holds the types to that part.

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};

use super::sections::File;

/// The schema, ready to be asked.
pub(super) struct Keys {
    root: Value,
}

/// What may stand at a place.
pub(super) struct Shape<'a> {
    pub(super) kind: Kind<'a>,
    /// Whether nothing may stand there too.
    pub(super) is_nullable: bool,
    /// The name of a further check.
    pub(super) format: Option<&'a str>,
}

/// What kind of value may stand at a place.
pub(super) enum Kind<'a> {
    /// A mapping with known keys.
    Section { keys: &'a Map<String, Value>, required: Vec<&'a str> },
    /// A mapping whose keys are the operator's.
    Named { value: &'a Value, names: Option<&'a str> },
    /// A list.
    List(&'a Value),
    /// A text, one of some where there are any.
    Text { choices: Vec<&'a str> },
    /// A whole number.
    Whole { min: i128, max: i128 },
    /// Any number.
    Fraction { min: f64, max: f64 },
    /// `true` or `false`.
    Flag,
    /// Anything.
    Any,
}

impl Keys {
    /// Makes the schema from the types.
    pub(super) fn new() -> Self {
        let generator = SchemaSettings::draft2020_12().into_generator();
        Self { root: generator.into_root_schema_for::<File>().into() }
    }

    /// Returns the schema of the whole file.
    pub(super) const fn root(&self) -> &Value {
        &self.root
    }

    pub(super) fn into_root(self) -> Value {
        self.root
    }

    /// Returns what may stand where a schema is.
    pub(super) fn shape<'a>(&'a self, schema: &'a Value) -> Shape<'a> {
        let (target, is_nullable) = self.follow(schema);
        let types = match target.get("type") {
            Some(Value::String(one)) => vec![one.as_str()],
            Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        let is_nullable = is_nullable || types.contains(&"null");
        let of = |name| types.contains(&name);
        let kind = if of("object") {
            self.mapping(target)
        } else if of("array") {
            Kind::List(target.get("items").unwrap_or(&Value::Null))
        } else if of("string") || target.get("oneOf").is_some() {
            Kind::Text { choices: choices(target) }
        } else if of("integer") {
            let limit = |name| target.get(name).and_then(Value::as_i64).map(i128::from);
            let (min, max) = (limit("minimum").unwrap_or(0), limit("maximum"));
            Kind::Whole { min, max: max.unwrap_or(WHOLE_MAX) }
        } else if of("number") {
            let limit = |name| target.get(name).and_then(Value::as_f64);
            let (min, max) = (limit("minimum"), limit("maximum"));
            Kind::Fraction { min: min.unwrap_or(f64::MIN), max: max.unwrap_or(f64::MAX) }
        } else if of("boolean") {
            Kind::Flag
        } else {
            Kind::Any
        };
        let format = schema.get("format").or_else(|| target.get("format"));
        Shape { kind, is_nullable, format: format.and_then(Value::as_str) }
    }

    fn mapping<'a>(&'a self, target: &'a Value) -> Kind<'a> {
        if let Some(keys) = target.get("properties").and_then(Value::as_object) {
            let required = target.get("required").and_then(Value::as_array);
            let required =
                required.into_iter().flatten().filter_map(Value::as_str).collect::<Vec<_>>();
            return Kind::Section { keys, required };
        }
        let names = target.get("propertyNames").and_then(|names| names.get("format"));
        let value = target.get("additionalProperties").unwrap_or(&Value::Null);
        Kind::Named { value, names: names.and_then(Value::as_str) }
    }

    /// Follows references and optional values to the schema that says something.
    fn follow<'a>(&'a self, mut schema: &'a Value) -> (&'a Value, bool) {
        let mut is_nullable = false;
        // LIMIT: steps; our own schema needs two.
        for _ in 0..8 {
            if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
                let pointer = reference.strip_prefix('#').unwrap_or(reference);
                match self.root.pointer(pointer) {
                    Some(next) => schema = next,
                    None => break,
                }
            } else if let Some(Value::Array(several)) = schema.get("anyOf") {
                let is_null =
                    |one: &&Value| one.get("type").and_then(Value::as_str) == Some("null");
                is_nullable |= several.iter().any(|one| is_null(&one));
                match several.iter().find(|one| !is_null(one)) {
                    Some(next) => schema = next,
                    None => break,
                }
            } else {
                break;
            }
        }
        (schema, is_nullable)
    }

    /// Returns the way to every key of known name, sections left out.
    pub(super) fn leaves(&self) -> Vec<Vec<String>> {
        let mut found = Vec::new();
        self.leaves_below(&self.root, &mut Vec::new(), &mut found);
        found
    }

    fn leaves_below(&self, schema: &Value, way: &mut Vec<String>, found: &mut Vec<Vec<String>>) {
        if let Kind::Section { keys, .. } = self.shape(schema).kind {
            for (name, below) in keys {
                way.push(name.clone());
                self.leaves_below(below, way, found);
                way.pop();
            }
        } else {
            found.push(way.clone());
        }
    }

    /// Returns what was probably meant by a name that is none of these keys: one of them, or
    /// the way to a key of this name elsewhere.
    pub(super) fn meant(&self, name: &str, known: &Map<String, Value>) -> Option<String> {
        closest(name, known.keys().map(String::as_str)).map(str::to_owned).or_else(|| {
            let mut ways = self.leaves();
            ways.extend(self.sections());
            ways.retain(|way| way.last().is_some_and(|last| last == name));
            let first = ways.first().map(|way| way.join("."));
            first.filter(|_| ways.len() == 1)
        })
    }

    fn sections(&self) -> Vec<Vec<String>> {
        let mut ways: Vec<Vec<String>> = Vec::new();
        for way in self.leaves() {
            for len in 1..way.len() {
                let section: Vec<String> = way.iter().take(len).cloned().collect();
                if ways.last() != Some(&section) && !ways.contains(&section) {
                    ways.push(section);
                }
            }
        }
        ways
    }
}

/// Returns the closest of some names, if it is close at all.
pub(super) fn closest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    // LIMIT: characters that are compared; no key is longer.
    if name.len() > 128 {
        return None;
    }
    let most = (name.chars().count() / 3).max(1);
    known
        .map(|key| (strsim::damerau_levenshtein(name, key), key))
        .filter(|(distance, _)| *distance <= most)
        .min()
        .map(|(_, key)| key)
}

/// The largest number that the types can hold.
const WHOLE_MAX: i128 = u64::MAX as i128;

fn choices(schema: &Value) -> Vec<&str> {
    let further = schema.get("oneOf").and_then(Value::as_array);
    let further = further.into_iter().flatten().flat_map(constants);
    constants(schema).chain(further).collect()
}

fn constants(schema: &Value) -> impl Iterator<Item = &str> {
    let one = schema.get("const").into_iter();
    let several = schema.get("enum").and_then(Value::as_array).into_iter().flatten();
    one.chain(several).filter_map(Value::as_str)
}
