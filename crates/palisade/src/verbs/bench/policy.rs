//! `palisade bench policy`: what one question to the access rules costs, by how many there are.

mod files;

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;

use anyhow::ensure;
use policy::{Action, AgentRules, Policy, Role, RuleBook};
use serde::Serialize;

use super::timing::{self, Spread};
use crate::output::Output;

/// The figures for one number of rules.
#[derive(Debug, Serialize)]
struct Row {
    rules: u32,
    /// Always the same question, as of two agents that talk: its rule is in the cache of the CPU.
    same_ns: Option<Spread>,
    /// Each time another sender and target.
    fresh_ns: Option<Spread>,
    /// Each time another target, which only the last of the sender's roles, a pattern, allows.
    by_role_ns: Option<Spread>,
    /// Compiling all rules, as after a change of one.
    compile_ns: Option<Spread>,
}

/// Measures and prints.
pub(super) fn run(out: &Output) -> anyhow::Result<ExitCode> {
    let rows = RULES.map(measure).into_iter().collect::<anyhow::Result<Vec<_>>>()?;
    let files = RULES.map(files::measure).into_iter().collect::<anyhow::Result<Vec<_>>>()?;
    if out.json {
        out.json(&serde_json::json!({ "bench": "policy", "rows": rows, "files": files }))?;
    } else {
        let headers = ["rules", "same ns", "fresh ns", "by role ns", "compile ns"];
        let cells = |row: &Row| {
            let spreads = [row.same_ns, row.fresh_ns, row.by_role_ns, row.compile_ns];
            let mut cells = vec![row.rules.to_string()];
            cells.extend(spreads.map(timing::cell));
            cells
        };
        out.table(&headers, &rows.iter().map(cells).collect::<Vec<_>>())?;
        files::print(out, &files)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn measure(rules: u32) -> anyhow::Result<Row> {
    let book = book(rules);
    let policy = Policy::compile(&book);
    let names: Vec<String> = (0..rules).map(name).collect();
    let pairs = || names.iter().zip(names.iter().cycle().skip(1));
    let mut next = pairs().cycle();
    let allowed = |sender: &str, target: &str| {
        ensure!(policy.decide(sender, Action::Send, target).is_allowed(), "not allowed");
        Ok(())
    };
    let mut targets = names.iter().cycle();
    Ok(Row {
        rules,
        same_ns: timing::time(|| allowed(&name(0), &name(1)))?,
        fresh_ns: timing::time(|| {
            next.next().map_or(Ok(()), |(sender, target)| allowed(sender, target))
        })?,
        by_role_ns: timing::time(|| {
            targets.next().map_or(Ok(()), |target| allowed(CHIEF, target))
        })?,
        compile_ns: timing::time(|| {
            ensure!(Policy::compile(&book).revision() == policy.revision(), "another revision");
            Ok(())
        })?,
    })
}

/// Each agent may send to the next one; one more may send to all by the last of its roles.
fn book(rules: u32) -> RuleBook {
    let mut agents: BTreeMap<String, AgentRules> = (0..rules)
        .map(|number| {
            let allow = BTreeSet::from([name((number + 1) % rules)]);
            (name(number), AgentRules { allow, ..AgentRules::default() })
        })
        .collect();
    let roles: BTreeMap<String, Role> = (0..ROLES)
        .map(|number| {
            let end = if number + 1 == ROLES { "*" } else { "none-*" };
            let permissions = BTreeSet::from([format!("send:{end}")]);
            (format!("role{number}"), Role { permissions, ..Role::default() })
        })
        .collect();
    let chief = AgentRules { roles: roles.keys().cloned().collect(), ..AgentRules::default() };
    agents.insert(CHIEF.to_owned(), chief);
    RuleBook { agents, rbac: true, roles }
}

fn name(number: u32) -> String {
    format!("agent{number}")
}

/// How many rules there are, one row each.
const RULES: [u32; 4] = [10, 100, 1_000, 10_000];
const CHIEF: &str = "chief";
/// As many as can be told apart by one digit: their order is that of their names.
const ROLES: u32 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_may_send_to_the_next_one_and_the_chief_to_all_by_its_last_role() {
        let policy = Policy::compile(&book(10));
        assert!(policy.decide("agent9", Action::Send, "agent0").is_allowed());
        assert!(!policy.decide("agent9", Action::Send, "agent1").is_allowed());
        let decision = policy.decide(CHIEF, Action::Send, "agent5");
        assert!(format!("{decision:?}").contains("role9"), "{decision:?}");
    }
}
