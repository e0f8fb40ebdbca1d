//! Reads the rules of a file.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use serde_saphyr::Spanned;

use super::{Belonging, NETWORK, RULE, Resolver, TIME_WINDOW, place};
use crate::document::yaml::{self, Text};
use crate::document::{Condition, Effect, Rule};
use crate::fault::shown;
use crate::{Action, Authentication, FaultCode};

impl Resolver {
    pub(super) fn rule(&mut self, file: &Arc<Path>, yaml: Spanned<yaml::Rule>) {
        let at = place(file, &yaml.referenced);
        let yaml = yaml.value;
        let Some(id) = yaml.id else {
            self.faults.add(FaultCode::Syntax, &at, "the rule has no `id`; give it a name");
            return;
        };
        let id_at = place(file, &id.referenced);
        if self.document.rules.len() >= RULES_MAX {
            let says = format!("there are more than {RULES_MAX} rules with this one");
            self.faults.add(FaultCode::TooLarge, &at, says);
            return;
        }
        if !is_id(&id.value) {
            let says = format!(
                "`{}` is no id: it must have 1 to 128 letters, digits, `-`, `_` or `.`",
                shown(&id.value)
            );
            self.faults.add(FaultCode::Value, &id_at, says);
            return;
        }
        if !self.define(RULE, &id.value, id_at) {
            return;
        }
        let effect = match yaml.effect.value.as_str() {
            "allow" => Some(Effect::Allow),
            "deny" => Some(Effect::Deny),
            _ => None,
        };
        let Some(effect) = effect else {
            let says =
                format!("`{}` is no effect; write `allow` or `deny`", shown(&yaml.effect.value));
            self.faults.add(FaultCode::Value, &place(file, &yaml.effect.referenced), says);
            return;
        };
        let when_at = yaml.when.as_ref().map(|it| place(file, &it.referenced));
        let mut when = self.conditions(file, yaml.when.map(|it| it.value));
        if let Some(at) = when_at.filter(|_| when.is_empty()) {
            // A limit that was forgotten must not be no limit.
            self.faults.add(FaultCode::Value, &at, "`when` names nothing; remove it");
        }
        when.extend(self.moment(file, yaml.not_before).map(Condition::NotBefore));
        when.extend(self.moment(file, yaml.expires).map(Condition::Before));
        let unless_at = yaml.unless.as_ref().map(|it| place(file, &it.referenced));
        let unless = self.conditions(file, yaml.unless.map(|it| it.value));
        if let Some(at) = unless_at.filter(|_| unless.is_empty()) {
            // Nothing always holds, so the rule would never apply.
            self.faults.add(FaultCode::Value, &at, "`unless` names nothing; remove it");
        }
        let rule = Rule {
            id: id.value.into(),
            place: at,
            description: yaml.description.into(),
            effect,
            principals: self.selectors(file, &yaml.principals, Belonging::Principals),
            actions: self.actions(file, &yaml.actions),
            resources: self.selectors(file, &yaml.resources, Belonging::Resources),
            when,
            unless,
            cross_workspace: yaml.cross_workspace,
        };
        self.document.rules.push(rule);
    }

    fn actions(&mut self, file: &Arc<Path>, texts: &[Text]) -> BTreeSet<Action> {
        let mut actions = BTreeSet::new();
        for text in texts {
            let known = Action::ALL.into_iter().find(|action| action.as_str() == text.value);
            if text.value == "*" {
                actions.extend(Action::ALL);
            } else if let Some(action) = known {
                actions.insert(action);
            } else {
                let words: Vec<_> = Action::ALL.iter().map(|action| action.as_str()).collect();
                let says = format!(
                    "`{}` is no action; write `*` or some of {}",
                    shown(&text.value),
                    words.join(", ")
                );
                self.faults.add(FaultCode::Value, &place(file, &text.referenced), says);
            }
        }
        actions
    }

    fn conditions(&mut self, file: &Arc<Path>, yaml: Option<yaml::Conditions>) -> Vec<Condition> {
        let Some(it) = yaml else { return Vec::new() };
        let mut all = Vec::new();
        all.extend(it.message_types.map(|t| Condition::MessageTypes(self.patterns(file, &t))));
        all.extend(it.payload_bytes_min.map(|number| Condition::PayloadMin(bytes(number.value))));
        all.extend(it.payload_bytes_max.map(|number| Condition::PayloadMax(bytes(number.value))));
        all.extend(it.labels_any.map(|texts| Condition::LabelsAny(self.texts(file, &texts))));
        all.extend(it.labels_all.map(|texts| Condition::LabelsAll(self.texts(file, &texts))));
        all.extend(it.labels_none.map(|texts| Condition::LabelsNone(self.texts(file, &texts))));
        all.extend(it.domains.map(|texts| Condition::Domains(self.texts(file, &texts))));
        all.extend(it.approved_by.map(|texts| Condition::ApprovedBy(self.texts(file, &texts))));
        all.extend(
            it.time_windows.map(|t| Condition::TimeWindows(self.names(file, TIME_WINDOW, &t))),
        );
        all.extend(it.networks.map(|t| Condition::Networks(self.names(file, NETWORK, &t))));
        all.extend(it.delegation_depth_max.map(|number| {
            // Nobody passes a request on as often as the largest number.
            Condition::DelegationDepthMax(u32::try_from(number.value).unwrap_or(u32::MAX))
        }));
        if let Some(text) = it.authentication_min {
            let known = Authentication::ALL.into_iter().find(|it| it.as_str() == text.value);
            if let Some(known) = known {
                all.push(Condition::AuthenticationMin(known));
            } else {
                let says = format!(
                    "`{}` is no strength; write `none`, `bearer`, `bound` or `mtls`",
                    shown(&text.value)
                );
                self.faults.add(FaultCode::Value, &place(file, &text.referenced), says);
            }
        }
        all
    }

    fn moment(&mut self, file: &Arc<Path>, text: Option<Text>) -> Option<i64> {
        let text = text?;
        let moment = text.value.parse::<jiff::Timestamp>();
        if moment.is_err() {
            let says = format!(
                "`{}` is no moment; write it as `2026-12-31T18:00:00Z`, with `Z` or the offset",
                shown(&text.value)
            );
            self.faults.add(FaultCode::Value, &place(file, &text.referenced), says);
        }
        moment.ok().map(jiff::Timestamp::as_second)
    }
}

/// Returns a size as Cedar can hold it; no payload is larger.
fn bytes(number: u64) -> u64 {
    number.min(i64::MAX.unsigned_abs())
}

/// Returns whether a text can name a rule: it stands in records and in Cedar.
pub(crate) fn is_id(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

/// LIMIT: rules of a policy.
const RULES_MAX: usize = 100_000;
