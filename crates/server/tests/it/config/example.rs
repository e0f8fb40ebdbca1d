//! `config/palisade.yaml` has every key with its default, and the schema says the same.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde_json::Value;
use server::config::{self, Config, Environment};

use super::with;

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../config/palisade.yaml");

fn example() -> (String, Value) {
    let text = std::fs::read_to_string(EXAMPLE).unwrap();
    let value = serde_saphyr::from_str(&text).unwrap();
    (text, value)
}

/// Calls for every key of the schema with its way and its default; `*` is a name of the operator.
fn keys(schema: &Value, at: &Value, way: &str, found: &mut Vec<(String, Option<Value>)>) {
    let target = at["$ref"]
        .as_str()
        .map_or(at, |reference| schema.pointer(reference.trim_start_matches('#')).unwrap());
    let below = |key: &str| if way.is_empty() { key.to_owned() } else { format!("{way}.{key}") };
    if let Some(properties) = target["properties"].as_object() {
        for (key, property) in properties {
            keys(schema, property, &below(key), found);
        }
    } else if target["additionalProperties"]["$ref"].is_string() {
        keys(schema, &target["additionalProperties"], &below("*"), found);
    } else {
        let default = at.get("default").or_else(|| target.get("default"));
        found.push((way.to_owned(), default.cloned()));
    }
}

/// The keys of the file in the same form.
fn written(at: &Value, way: &str, known: &BTreeSet<String>, found: &mut Vec<(String, Value)>) {
    let Some(entries) = at.as_object().filter(|_| !known.contains(way)) else {
        found.push((way.to_owned(), at.clone()));
        return;
    };
    for (key, value) in entries {
        let key = if way == "agents" || way == "roles" { "*" } else { key };
        let way = if way.is_empty() { key.to_owned() } else { format!("{way}.{key}") };
        written(value, &way, known, found);
    }
}

#[test]
fn the_file_has_exactly_the_keys_of_the_schema_with_their_defaults() {
    let schema = config::schema();
    let mut expected = Vec::new();
    keys(&schema, &schema, "", &mut expected);
    let known: BTreeSet<String> = expected.iter().map(|(way, _)| way.clone()).collect();
    let mut found = Vec::new();
    written(&example().1, "", &known, &mut found);
    let ways: BTreeSet<String> = found.iter().map(|(way, _)| way.clone()).collect();
    assert_eq!(known, ways);
    assert!(known.len() > 80, "{}", known.len());
    for (way, default) in expected {
        let value = &found.iter().find(|(other, _)| *other == way).unwrap().1;
        match default {
            Some(default) => assert_eq!(*value, default, "{way}"),
            None => assert!(way.starts_with("server.tls."), "{way} has no default"),
        }
    }
}

#[test]
fn the_file_names_every_key_of_a_dlp_rule() {
    let schema = config::schema();
    let text = example().0;
    for key in schema["$defs"]["RuleKeys"]["properties"].as_object().unwrap().keys() {
        let is_named = |line: &str| {
            let line = line.trim_start().trim_start_matches(['#', ' ', '-']);
            line.starts_with(&format!("{key}:"))
        };
        assert!(text.lines().any(is_named), "{key}");
    }
}

#[test]
fn the_file_loads_into_the_same_configuration_as_one_without_it() {
    let nothing = Environment::default();
    let example = config::load(&PathBuf::from(EXAMPLE), &nothing).unwrap();
    assert_eq!(example.warnings, [""; 0]);
    let bare = with("").load(&[]).unwrap();
    let sections = |config: &Config| {
        let server = &config.server;
        format!(
            "{:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?}",
            server.listen,
            server.agent_ids,
            server.operator_ids,
            server.limits,
            config.gateway,
            config.validation,
            config.delivery,
            (config.storage.durability, config.storage.engine, config.storage.bytes_max),
        )
    };
    assert_eq!(sections(&example), sections(&bare));
    assert_eq!(bare.gateway.dlp, inspect::DlpSpec::default());
}

#[test]
fn the_schema_describes_every_key_in_a_way_that_the_checker_understands() {
    let schema = config::schema();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    let understood = [
        "$defs",
        "$ref",
        "$schema",
        "additionalProperties",
        "anyOf",
        "const",
        "default",
        "description",
        "enum",
        "format",
        "items",
        "maximum",
        "minimum",
        "oneOf",
        "pattern",
        "properties",
        "propertyNames",
        "required",
        "title",
        "type",
        "uniqueItems",
    ];
    describes(&schema, false, &understood);
}

#[test]
fn the_names_in_the_schema_are_those_that_the_inspection_takes() {
    let schema = config::schema();
    let rule = &schema["$defs"]["RuleKeys"]["properties"];
    let names = |key: &str| rule[key]["enum"].as_array().unwrap().clone();
    for name in names("action") {
        serde_json::from_value::<inspect::Action>(name).unwrap();
    }
    for name in names("severity") {
        serde_json::from_value::<inspect::Severity>(name).unwrap();
    }
    let strategies = &schema["$defs"]["DlpKeys"]["properties"]["merge_strategy"]["enum"];
    for name in strategies.as_array().unwrap() {
        serde_json::from_value::<inspect::MergeStrategy>(name.clone()).unwrap();
    }
    let actions = [
        inspect::Action::Alert,
        inspect::Action::Redact,
        inspect::Action::Encrypt,
        inspect::Action::Block,
    ];
    assert_eq!(names("action"), actions.map(|action| serde_json::to_value(action).unwrap()));
}

/// Checks that a schema has only these keywords, and a description for each name.
fn describes(at: &Value, is_names: bool, understood: &[&str]) {
    match at {
        Value::Object(entries) => {
            for (key, value) in entries {
                assert!(is_names || understood.contains(&key.as_str()), "{key}");
                if is_names && !value["$ref"].is_string() {
                    let said = value["description"].as_str().or_else(|| value["type"].as_str());
                    assert!(said.is_some(), "{key} has no description");
                }
                let names = !is_names && matches!(key.as_str(), "properties" | "$defs");
                if !matches!(key.as_str(), "default" | "const" | "enum") || is_names {
                    describes(value, names, understood);
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| describes(item, false, understood)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
