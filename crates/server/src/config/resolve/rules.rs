//! Whether the rules of access and of inspection hold together, and where one that does not stands.

use inspect::RuleError;
use policy::{Level, Problem};

use super::Resolve;
use crate::config::tree::{Node, Value};
use crate::config::{Config, domains, fit};

impl Resolve<'_> {
    pub(super) fn domains(&mut self, config: &Config) {
        for (place, what) in domains::problems(config) {
            self.add(&place, what);
        }
    }

    pub(super) fn rules(&mut self, config: &Config) {
        if config.agents.is_empty() {
            self.warnings.push("agents: none is listed, so none can connect".to_owned());
        }
        for Problem { level, place, what } in config.rule_book().check() {
            match level {
                Level::Warning => self.warnings.push(format!("{place}: {what}")),
                Level::Error => {
                    let path = self.entry(&place, &what).unwrap_or(place);
                    self.add(&path, what);
                }
            }
        }
    }

    /// Returns the entry of a list that a message names.
    fn entry(&self, place: &str, what: &str) -> Option<String> {
        let steps: Vec<&str> = place.split('.').collect();
        let Value::List(items) = &self.root.at(&steps).value else { return None };
        let is_named = |item: &Node| match &item.value {
            Value::Scalar(_, text) => what.contains(&format!("`{}`", text.escape_debug())),
            Value::Null | Value::List(_) | Value::Map(_) => false,
        };
        items.iter().position(is_named).map(|at| format!("{place}[{at}]"))
    }

    pub(super) fn dlp(&mut self, config: &Config) {
        let spec = &config.gateway.dlp;
        if let Err(error) = inspect::Dlp::compile(spec) {
            let what = error.to_string();
            let path = self.dlp_place(spec, &error, &what);
            self.add(&path, what);
        }
        if !config.gateway.features.dlp && *spec != inspect::DlpSpec::default() {
            let warning = "gateway.dlp: has no effect while gateway.features.dlp is false";
            self.warnings.push(warning.to_owned());
        }
    }

    /// Returns the key that a rule cannot be compiled for.
    fn dlp_place(&self, spec: &inspect::DlpSpec, error: &RuleError, what: &str) -> String {
        let (rule, field) = match error {
            RuleError::TooMany { .. } | RuleError::AllTooLarge => (None, ""),
            RuleError::BadField { rule, field, .. } => (Some(rule), *field),
            RuleError::DuplicateId { rule } => (Some(rule), "id"),
            RuleError::BadPattern { rule, .. }
            | RuleError::MatchesEmpty { rule }
            | RuleError::MatchesNothing { rule }
            | RuleError::TooLarge { rule } => (Some(rule), "pattern"),
            RuleError::UnknownType { field, name, .. } => {
                let place = format!("gateway.dlp.{field}");
                let entry = self.entry(&place, what);
                return entry.unwrap_or_else(|| fit::below(&place, name));
            }
        };
        // The last one: of two rules with one id, the second is in the way.
        let at = rule.and_then(|id| spec.rules.iter().rposition(|rule| rule.id == *id));
        let place = "gateway.dlp.rules";
        at.map_or_else(|| place.to_owned(), |at| format!("{place}[{at}].{field}"))
    }
}
