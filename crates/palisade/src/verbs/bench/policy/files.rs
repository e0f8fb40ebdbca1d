//! The rules of policy files: a question that was asked before, one that was not, and plain Cedar.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use policy::{Action, Context, Document, Engine, Policy, Principal, Request, RuleBook};
use serde::Serialize;

use super::super::timing::{self, Spread};
use super::name;
use crate::clock;
use crate::output::Output;

/// The figures for one number of rules, each of which names its principal.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    rules: u32,
    /// A question that was asked before.
    known_ns: Option<Spread>,
    /// Each time a principal that was never seen, with another certificate.
    fresh_ns: Option<Spread>,
    /// The same, where the rule has three conditions.
    fresh_conditions_ns: Option<Spread>,
    /// Cedar alone, asked about all rules.
    cedar_ns: Option<Spread>,
    /// Reading, checking and compiling all rules.
    load_ns: Option<Spread>,
}

/// Measures.
pub(super) fn measure(rules: u32) -> anyhow::Result<Row> {
    let text = text(rules);
    let document = Document::parse(&[(PathBuf::from("bench.yaml"), text.clone())]);
    let engine = Engine::compile(document.map_err(first)?).map_err(first)?;
    let policy = Policy::with(&RuleBook::default(), Some(Arc::new(engine)));
    let engine = policy.engine().context("a policy without its engine")?;
    let plain = engine.plain().context("Cedar does not take the rules together")?;
    let names: Vec<String> = (0..agents(rules)).map(name).collect();
    let mut pairs = names.iter().zip(names.iter().cycle().skip(1)).cycle();
    let mut number = 0_u64;
    let mut fresh = |action: Action| {
        number += 1;
        let (sender, target) = pairs.next().context("no rules")?;
        let mut request = request(sender, action, target);
        let spiffe_id = format!("spiffe://bench/{number}");
        request.principal = Principal { spiffe_id: &spiffe_id, ..request.principal };
        ensure!(policy.judge(&request).is_allowed(), "not allowed");
        Ok(())
    };
    let same = request("agent0", Action::Send, "agent1");
    Ok(Row {
        rules,
        known_ns: timing::time(|| {
            ensure!(policy.judge(&same).is_allowed(), "not allowed");
            Ok(())
        })?,
        fresh_ns: timing::time(|| fresh(Action::Send))?,
        fresh_conditions_ns: timing::time(|| fresh(Action::Request))?,
        cedar_ns: timing::time(|| {
            ensure!(plain.allows(&same), "not allowed");
            Ok(())
        })?,
        load_ns: load(&text)?,
    })
}

/// Times a few loads; with many rules each is long enough.
fn load(text: &str) -> anyhow::Result<Option<Spread>> {
    let mut figures = Vec::with_capacity(LOADS);
    for _ in 0..LOADS {
        let files = [(PathBuf::from("bench.yaml"), text.to_owned())];
        let start = clock::instant();
        let document = Document::parse(&files).map_err(first)?;
        ensure!(!Engine::compile(document).map_err(first)?.is_empty(), "no rules");
        figures.push(start.elapsed().as_secs_f64() * 1e9);
    }
    Ok(Spread::of(figures))
}

/// Prints.
pub(super) fn print(out: &Output, rows: &[Row]) -> anyhow::Result<()> {
    let headers = [
        "rules of files",
        "known ns",
        "fresh ns",
        "fresh with conditions ns",
        "plain Cedar ns",
        "load ns",
    ];
    let cells = |row: &Row| {
        let spreads =
            [row.known_ns, row.fresh_ns, row.fresh_conditions_ns, row.cedar_ns, row.load_ns];
        let mut cells = vec![row.rules.to_string()];
        cells.extend(spreads.map(timing::cell));
        cells
    };
    out.table(&headers, &rows.iter().map(cells).collect::<Vec<_>>())?;
    Ok(())
}

fn request<'a>(sender: &'a str, action: Action, target: &'a str) -> Request<'a> {
    let context = Context { message_type: "task.new", payload_bytes: 256, ..Context::default() };
    Request { context, ..Request::between(sender, action, target) }
}

/// Each agent may send to the next one, every second rule says; the others say the same of
/// requests, with conditions.
fn text(rules: u32) -> String {
    let mut text = "message_types: { report: { labels: [secret] } }\nrules:\n".to_owned();
    let agents = agents(rules);
    for number in 0..agents {
        let (sender, target) = (name(number), name((number + 1) % agents));
        let scope = format!(
            "  effect: allow\n  principals: [\"agent:{sender}\"]\n  \
             resources: [\"agent:{target}\"]\n"
        );
        let when = "{ message_types: [\"task.*\"], payload_bytes_max: 65536, \
             labels_none: [secret] }";
        text.push_str(&format!(
            "- id: send-{number}\n{scope}  actions: [send]\n- id: request-{number}\n{scope}  \
             actions: [request]\n  when: {when}\n"
        ));
    }
    text
}

/// Returns how many agents so many rules are about.
const fn agents(rules: u32) -> u32 {
    rules.div_ceil(2)
}

fn first(faults: Vec<policy::Fault>) -> anyhow::Error {
    match faults.into_iter().next() {
        Some(fault) => anyhow::Error::new(fault),
        None => anyhow::anyhow!("refused without a fault"),
    }
}

const LOADS: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_measured_is_allowed() {
        let row = measure(4).unwrap();
        let all = [row.known_ns, row.fresh_ns, row.fresh_conditions_ns, row.cedar_ns, row.load_ns];
        assert!(all.iter().all(Option::is_some), "{row:?}");
    }
}
