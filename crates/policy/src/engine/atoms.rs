//! The conditions of all rules, each once: which hold for a request is all that a decision
//! depends on besides who, what and whom.

use std::collections::HashMap;

use cedar_policy::RestrictedExpression;

use super::cedar::Cedar;
use crate::window::Remembered;
use crate::{Condition, Context, Document, Network};

/// The conditions that rules name, and what they need.
#[derive(Debug)]
pub(super) struct Atoms {
    atoms: Vec<Atom>,
    /// By rule.
    of_rules: Vec<Of>,
    windows: Vec<(Box<str>, Remembered)>,
    networks: Vec<(Box<str>, Vec<Network>)>,
}

/// A condition, and the numbers of the windows or networks that it names.
#[derive(Debug)]
struct Atom {
    condition: Condition,
    places: Box<[usize]>,
}

/// What a rule looks at.
#[derive(Debug)]
enum Of {
    Atoms(Box<[u32]>),
    /// At the context in ways that only Cedar knows.
    Context,
}

/// What a slice of the rules looks at.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// At nothing but who, what and whom.
    Nothing,
    /// At these conditions.
    Atoms(Box<[u32]>),
    /// At more than can be remembered.
    Everything,
}

/// Which of the wanted conditions hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Facts([u64; WORDS]);

impl Atoms {
    pub(super) fn new(document: &Document, cedar: &Cedar) -> Self {
        let windows = document.time_windows.iter();
        let windows: Vec<(Box<str>, Remembered)> = windows
            .map(|(name, window)| (name.as_str().into(), Remembered::new(window.clone())))
            .collect();
        let networks = document.networks.iter();
        let networks: Vec<(Box<str>, Vec<Network>)> =
            networks.map(|(name, all)| (name.as_str().into(), all.clone())).collect();
        let mut made = Self { atoms: Vec::new(), of_rules: Vec::new(), windows, networks };
        let mut known: HashMap<&Condition, u32> = HashMap::new();
        for rule in &document.rules {
            let conditions = rule.when.iter().chain(&rule.unless);
            let mut atoms: Vec<u32> = conditions
                .map(|condition| {
                    *known.entry(condition).or_insert_with(|| made.add(condition.clone()))
                })
                .collect();
            atoms.sort_unstable();
            atoms.dedup();
            made.of_rules.push(Of::Atoms(atoms.into()));
        }
        for (_, scope) in cedar.scopes() {
            made.of_rules.push(if scope.looks_at_context {
                Of::Context
            } else {
                Of::Atoms(Box::default())
            });
        }
        made
    }

    fn add(&mut self, condition: Condition) -> u32 {
        let places = match &condition {
            Condition::TimeWindows(names) => {
                let place = |name: &String| self.windows.iter().position(|(it, _)| **it == **name);
                names.iter().filter_map(place).collect()
            }
            Condition::Networks(names) => {
                let place = |name: &String| self.networks.iter().position(|(it, _)| **it == **name);
                names.iter().filter_map(place).collect()
            }
            Condition::MessageTypes(_)
            | Condition::PayloadMin(_)
            | Condition::PayloadMax(_)
            | Condition::LabelsAny(_)
            | Condition::LabelsAll(_)
            | Condition::LabelsNone(_)
            | Condition::Domains(_)
            | Condition::AuthenticationMin(_)
            | Condition::DelegationDepthMax(_)
            | Condition::ApprovedBy(_)
            | Condition::NotBefore(_)
            | Condition::Before(_) => Box::default(),
        };
        let number = u32::try_from(self.atoms.len()).unwrap_or(u32::MAX);
        self.atoms.push(Atom { condition, places });
        number
    }

    /// Returns what rules look at.
    pub(super) fn wanted(&self, rules: &[u32]) -> Wanted {
        let mut all = Vec::new();
        for rule in rules {
            let of = usize::try_from(*rule).ok().and_then(|rule| self.of_rules.get(rule));
            match of {
                Some(Of::Atoms(atoms)) => all.extend_from_slice(atoms),
                Some(Of::Context) | None => return Wanted::Everything,
            }
        }
        all.sort_unstable();
        all.dedup();
        match all.len() {
            0 => Wanted::Nothing,
            count if count <= WORDS * 64 => Wanted::Atoms(all.into()),
            _ => Wanted::Everything,
        }
    }

    /// Returns which of the wanted conditions hold; nothing if that does not say everything.
    pub(super) fn facts(&self, wanted: &Wanted, context: &Context<'_>) -> Option<Facts> {
        let mut facts = Facts::default();
        match wanted {
            Wanted::Nothing => {}
            Wanted::Everything => return None,
            Wanted::Atoms(atoms) => {
                for (atom, bit) in atoms.iter().zip(0_usize..) {
                    if self.holds(*atom, context)
                        && let Some(word) = facts.0.get_mut(bit / 64)
                    {
                        *word |= 1 << (bit % 64);
                    }
                }
            }
        }
        Some(facts)
    }

    fn holds(&self, atom: u32, context: &Context<'_>) -> bool {
        let Some(atom) = usize::try_from(atom).ok().and_then(|atom| self.atoms.get(atom)) else {
            return false;
        };
        let has = |label: &String| context.labels.contains(&label.as_str());
        match &atom.condition {
            Condition::MessageTypes(types) => {
                types.iter().any(|pattern| pattern.matches(context.message_type))
            }
            Condition::PayloadMin(min) => context.payload_bytes >= *min,
            Condition::PayloadMax(max) => context.payload_bytes <= *max,
            Condition::LabelsAny(labels) => labels.iter().any(has),
            Condition::LabelsAll(labels) => labels.iter().all(has),
            Condition::LabelsNone(labels) => !labels.iter().any(has),
            Condition::Domains(domains) => domains.contains(context.domain),
            Condition::TimeWindows(_) => atom.places.iter().any(|place| {
                self.windows.get(*place).is_some_and(|(_, window)| window.is_open(context.now))
            }),
            Condition::Networks(_) => atom.places.iter().any(|place| self.is_from(*place, context)),
            Condition::AuthenticationMin(min) => context.authentication >= *min,
            Condition::DelegationDepthMax(max) => context.delegation_depth <= *max,
            Condition::ApprovedBy(names) => {
                context.approved_by.iter().any(|name| names.contains(*name))
            }
            Condition::NotBefore(moment) => context.now >= *moment,
            Condition::Before(moment) => context.now < *moment,
        }
    }

    fn is_from(&self, network: usize, context: &Context<'_>) -> bool {
        let ranges = self.networks.get(network).map(|(_, ranges)| ranges);
        context
            .source
            .is_some_and(|source| ranges.into_iter().flatten().any(|range| range.contains(source)))
    }

    /// Returns the circumstances as Cedar sees them; nothing where no rule looks at any.
    pub(super) fn context(
        &self,
        wanted: &Wanted,
        context: &Context<'_>,
    ) -> Vec<(String, RestrictedExpression)> {
        if *wanted == Wanted::Nothing {
            return Vec::new();
        }
        let text = |text: &str| RestrictedExpression::new_string(text.to_owned());
        let number =
            |number: u64| RestrictedExpression::new_long(i64::try_from(number).unwrap_or(i64::MAX));
        let texts = |texts: &mut dyn Iterator<Item = &str>| {
            RestrictedExpression::new_set(texts.map(text).collect::<Vec<_>>())
        };
        let open = self.windows.iter().filter(|(_, window)| window.is_open(context.now));
        let networks = self.networks.iter().zip(0..);
        let networks = networks.filter(|(_, place)| self.is_from(*place, context));
        [
            ("message_type", text(context.message_type)),
            ("payload_bytes", number(context.payload_bytes)),
            ("labels", texts(&mut context.labels.iter().copied())),
            ("domain", text(context.domain)),
            ("skill", text(context.skill)),
            ("now", RestrictedExpression::new_long(context.now)),
            ("time_windows", texts(&mut open.map(|(name, _)| &**name))),
            ("networks", texts(&mut networks.map(|((name, _), _)| &**name))),
            ("authentication", number(context.authentication.rank().into())),
            ("delegation_depth", number(context.delegation_depth.into())),
            ("approved_by", texts(&mut context.approved_by.iter().copied())),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
    }
}

/// LIMIT: 64 times as many conditions can be remembered of one slice.
const WORDS: usize = 4;
