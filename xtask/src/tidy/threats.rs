//! The threat table: each line names tests that are always run, or says that nothing proves it.
//!
//! A test that is named here runs in the test command, so a green run is the proof. A line without
//! one has to read "claimed, unproven". No line that the project owes an answer to may be absent.

use std::collections::BTreeSet;

use self::proofs::Proofs;
use super::Finding;
use super::tree::Tree;

mod proofs;

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let Some(text) = tree.files.get(TABLE) else {
        return vec![Finding::new(TABLE, "the file is missing")];
    };
    let rows = text.lines().enumerate().filter(|(_, line)| line.starts_with("| "));
    let rows = rows.filter(|(_, line)| !line.starts_with("| ---") && !line.starts_with("| id |"));
    let proofs = Proofs::of(tree);
    let mut seen = Seen::default();
    let mut findings: Vec<Finding> =
        rows.flat_map(|(number, line)| row(&proofs, &mut seen, number + 1, line)).collect();
    let owed = LINES.iter().filter(|id| !seen.lines.contains(**id));
    findings.extend(owed.map(|id| Finding::new(TABLE, format!("there is no line `{id}`"))));
    let unnamed = RISKS.iter().filter(|risk| !seen.threats.contains(**risk));
    findings.extend(unnamed.map(|risk| Finding::new(TABLE, format!("no threat names {risk}"))));
    findings
}

/// What the lines were so far.
#[derive(Default)]
struct Seen {
    lines: BTreeSet<String>,
    /// All of them, one after the other.
    threats: String,
}

fn row(proofs: &Proofs<'_>, seen: &mut Seen, number: usize, line: &str) -> Vec<Finding> {
    let finding = |says: String| Finding::new(format!("{TABLE}:{number}"), says);
    let cells: Vec<&str> = line.trim().trim_matches('|').split('|').map(str::trim).collect();
    let [id, threat, _control, proof] = cells.as_slice() else {
        return vec![finding("a line has four cells: id, threat, control, proof".to_owned())];
    };
    seen.threats.push_str(threat);
    let mut findings = Vec::new();
    if !seen.lines.insert((*id).to_owned()) {
        findings.push(finding(format!("there is another line `{id}`")));
    }
    // Texts in backticks, and nothing but commas between them.
    let (named, between): (Vec<_>, Vec<_>) =
        proof.split('`').enumerate().partition(|(place, _)| place % 2 == 1);
    let is_list = between.iter().all(|(_, text)| matches!(*text, "" | ", "));
    if *proof != UNPROVEN && (named.is_empty() || !is_list) {
        let says = format!("the proof of `{id}` is a list of tests, or it says: {UNPROVEN}");
        findings.push(finding(says));
    }
    let faults = named.iter().filter_map(|(_, proof)| proofs.fault(proof));
    findings.extend(faults.map(finding));
    findings
}

const TABLE: &str = "docs/threat-model.md";
const UNPROVEN: &str = "claimed, unproven";

/// The lines that the table has to have: our promises, and the threats to a server between agents
/// that lists of others and our users name. Others may stand beside them.
const LINES: &[&str] = &[
    "P1",
    "P2",
    "P3",
    "P4",
    "P5",
    "P6",
    "P7",
    "P8",
    "P9",
    "P10",
    "man-in-the-middle",
    "spoofed-sender",
    "pinning",
    "token-theft",
    "api-key-timing",
    "confused-deputy",
    "role-privilege",
    "acl-bypass",
    "policy-race",
    "replay",
    "tampering-at-rest",
    "cross-tenant-leak",
    "schema-exfiltration",
    "personal-data",
    "inspection-as-dos",
    "slow-patterns",
    "json-bombs",
    "compressed-bombs",
    "protobuf-abuse",
    "header-abuse",
    "log-injection",
    "metrics-cardinality",
    "prompt-injection",
    "tool-misuse",
    "supply-chain",
    "code-execution",
    "memory-poisoning",
    "cascading-failures",
    "human-trust",
    "rogue-agent",
    "resource-exhaustion",
    "slow-consumers",
    "slowloris",
    "rate-limit-evasion",
    "agents-reach-redis",
    "audit-gap",
    "operator-tampering",
    "secrets-in-logs",
    "secrets-in-memory",
    "clock-attacks",
    "admin-surface",
    "request-forgery",
    "incident-response",
];

/// OWASP's risks of agents (2026), all of them, and those of language models (2025) that concern a
/// server which hands on what agents say.
const RISKS: &[&str] = &[
    "ASI01", "ASI02", "ASI03", "ASI04", "ASI05", "ASI06", "ASI07", "ASI08", "ASI09", "ASI10",
    "LLM01", "LLM02", "LLM03", "LLM05", "LLM06", "LLM08", "LLM10",
];

#[cfg(test)]
mod tests {
    use super::super::tree::tree;
    use super::*;

    const IT: &str = "crates/a/tests/it/b.rs";
    const TEST: &str = "//! x\n#[test]\nfn it_holds() {}";
    const SUITE: &str = "//! x\nconst A: &[A] = &[attack!(\"flood\", true, CUT, flood)];";

    /// Returns what is found in a table that has all that it owes, and these lines.
    fn findings(lines: &[&str]) -> Vec<String> {
        let owed =
            LINES.iter().map(|id| format!("| {id} | {} | b | {UNPROVEN} |", RISKS.join(" ")));
        let lines = owed.chain(lines.iter().map(|line| (*line).to_owned()));
        let table = "| id | threat | control | proof |\n| --- | --- | --- | --- |\n";
        let table = format!("{table}{}", lines.collect::<Vec<_>>().join("\n"));
        found(&table)
    }

    fn found(table: &str) -> Vec<String> {
        let files = [(TABLE, table), (IT, TEST), ("e2e/src/suite/abuse.rs", SUITE)];
        check(&tree(&files)).into_iter().map(|finding| finding.says).collect()
    }

    #[test]
    fn a_line_names_tests_that_always_run_or_says_that_nothing_proves_it() {
        let proven = "| a | b | c | `crates/a/tests/it/b.rs::it_holds`, `suite abuse: flood` |";
        assert_eq!(findings(&[proven, "| d | e | f | claimed, unproven |"]), [""; 0]);
        for (line, count) in [
            ("| a | b | c | `crates/a/tests/it/b.rs::gone`, `suite abuse: gone` |", 2),
            ("| a | b | c | sure |", 1),
            ("| a | b | c | |", 1),
            ("| a | b | c | claimed, unproven, but `suite abuse: flood` |", 1),
            ("| a | b | claimed, unproven |", 1),
        ] {
            assert_eq!(findings(&[line]).len(), count, "{line}");
        }
    }

    #[test]
    fn each_line_stands_there_once() {
        let twice = ["| a | b | c | claimed, unproven |"; 2];
        assert_eq!(findings(&twice), ["there is another line `a`"]);
    }

    #[test]
    fn no_line_and_no_risk_may_be_absent() {
        let line = |id: &str| format!("| {id} | ASI01 | b | {UNPROVEN} |");
        let all_but_one: Vec<String> = LINES.iter().skip(1).map(|id| line(id)).collect();
        let says = found(&all_but_one.join("\n"));
        assert_eq!(says.first().map(String::as_str), Some("there is no line `P1`"));
        assert_eq!(says.len(), RISKS.len());
        assert!(!says.contains(&"no threat names ASI01".to_owned()));
        assert_eq!(check(&tree(&[])).len(), 1);
    }
}
