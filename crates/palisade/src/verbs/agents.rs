//! `palisade agents`: who is registered, who may message whom, roles and limits.
//!
//! It changes the running gate as an operator; each change is durable and audited there.

use std::process::ExitCode;

use palisade_client::Operator;
use palisade_client::admin::{AgentEntry, Limits, PolicyVerb};
use serde_json::json;

use crate::connect::{self, Connect};
use crate::failure::Failure;
use crate::output::Output;

/// What `palisade agents` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    connect: Connect,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// List the registered agents.
    List,
    /// Show one agent with its rules.
    Show {
        /// The agent's id.
        agent: String,
    },
    /// Let an agent message others.
    Allow(Pair),
    /// Take that permission back.
    Disallow(Pair),
    /// Keep an agent from messaging others, whatever else allows it.
    Block(Pair),
    /// Lift a block.
    Unblock(Pair),
    /// Make, change and assign roles.
    Role {
        #[command(subcommand)]
        action: RoleAction,
    },
    /// Set an agent's own rate limits, or go back to the configured ones.
    Limit(LimitArgs),
}

#[derive(Debug, clap::Args)]
struct Pair {
    /// The agent that sends.
    agent: String,
    /// The agents it sends to; `*` stands for all.
    #[arg(required = true)]
    targets: Vec<String>,
}

#[derive(Debug, clap::Subcommand)]
enum RoleAction {
    /// Make a role with permission patterns, such as `send:support-*`.
    Create(Role),
    /// Delete a role; whoever has it loses it.
    Delete {
        /// The role.
        role: String,
    },
    /// Add permission patterns to a role.
    Grant(Role),
    /// Take permission patterns from a role.
    Revoke(Role),
    /// Give an agent roles.
    Assign(Assignment),
    /// Take roles from an agent.
    Unassign(Assignment),
}

#[derive(Debug, clap::Args)]
struct Role {
    /// The role.
    role: String,
    /// Permission patterns.
    #[arg(required = true, value_name = "PERMISSION")]
    permissions: Vec<String>,
}

#[derive(Debug, clap::Args)]
struct Assignment {
    /// The agent.
    agent: String,
    /// The roles.
    #[arg(required = true)]
    roles: Vec<String>,
}

#[derive(Debug, clap::Args)]
struct LimitArgs {
    /// The agent's id.
    agent: String,
    /// Messages in any minute.
    #[arg(long, value_name = "N", required_unless_present = "clear")]
    per_minute: Option<u64>,
    /// Messages in any hour.
    #[arg(long, value_name = "N", required_unless_present = "clear")]
    per_hour: Option<u64>,
    /// Go back to the limits of the configuration.
    #[arg(long, conflicts_with_all = ["per_minute", "per_hour"])]
    clear: bool,
}

/// Looks or changes.
pub(crate) async fn run(args: Args, out: &Output) -> anyhow::Result<ExitCode> {
    connect::conclude(act(args, out).await, out)
}

async fn act(args: Args, out: &Output) -> anyhow::Result<ExitCode> {
    let operator = args.connect.operator().await?;
    match args.action {
        Action::List => list(&operator, out).await?,
        Action::Show { agent } => show(&operator, &agent, out).await?,
        Action::Limit(limit) => set_limit(&operator, limit, out).await?,
        Action::Allow(pair) => change(&operator, PolicyVerb::Allow, pair.parts(), out).await?,
        Action::Disallow(pair) => {
            change(&operator, PolicyVerb::Disallow, pair.parts(), out).await?;
        }
        Action::Block(pair) => change(&operator, PolicyVerb::Block, pair.parts(), out).await?,
        Action::Unblock(pair) => change(&operator, PolicyVerb::Unblock, pair.parts(), out).await?,
        Action::Role { action } => {
            let (verb, parts) = action.parts();
            change(&operator, verb, parts, out).await?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

impl Pair {
    fn parts(self) -> (String, Vec<String>) {
        (self.agent, self.targets)
    }
}

impl RoleAction {
    fn parts(self) -> (PolicyVerb, (String, Vec<String>)) {
        match self {
            Self::Create(Role { role, permissions }) => {
                (PolicyVerb::RoleCreate, (role, permissions))
            }
            Self::Delete { role } => (PolicyVerb::RoleDelete, (role, Vec::new())),
            Self::Grant(Role { role, permissions }) => (PolicyVerb::Grant, (role, permissions)),
            Self::Revoke(Role { role, permissions }) => (PolicyVerb::Revoke, (role, permissions)),
            Self::Assign(Assignment { agent, roles }) => (PolicyVerb::Assign, (agent, roles)),
            Self::Unassign(Assignment { agent, roles }) => (PolicyVerb::Unassign, (agent, roles)),
        }
    }
}

async fn change(
    operator: &Operator,
    verb: PolicyVerb,
    (subject, objects): (String, Vec<String>),
    out: &Output,
) -> anyhow::Result<()> {
    let response = operator.change_policy(verb, &subject, &objects).await?;
    let (changed, revision) = (response.changed, response.policy_revision);
    if out.json {
        return Ok(out.json(&json!({ "changed": changed, "policy_revision": revision }))?);
    }
    let what = if changed { "changed" } else { "was so already" };
    Ok(out.line(&format!("{what}, policy revision {revision}"))?)
}

async fn set_limit(operator: &Operator, args: LimitArgs, out: &Output) -> anyhow::Result<()> {
    let limits = match (args.per_minute, args.per_hour) {
        (Some(per_minute), Some(per_hour)) => Some(Limits { per_minute, per_hour }),
        (Some(_) | None, Some(_) | None) => None,
    };
    operator.set_limits(&args.agent, limits).await?;
    if out.json {
        return Ok(out.json(&json!({ "agent_id": args.agent, "limits": limits.map(limits_json) }))?);
    }
    Ok(out.line(if limits.is_some() { "limits set" } else { "limits cleared" })?)
}

async fn list(operator: &Operator, out: &Output) -> anyhow::Result<()> {
    let response = operator.agents().await?;
    if out.json {
        let agents: Vec<_> = response.agents.iter().map(agent_json).collect();
        let revision = response.policy_revision;
        return Ok(out.json(&json!({ "agents": agents, "policy_revision": revision }))?);
    }
    let rows: Vec<Vec<String>> = response
        .agents
        .iter()
        .map(|agent| {
            vec![
                agent.agent_id.clone(),
                agent.status.clone(),
                agent.instances.len().to_string(),
                agent.queued.to_string(),
                agent.allow.join(" "),
                agent.block.join(" "),
                agent.roles.join(" "),
                agent.limits.as_ref().map(limits_text).unwrap_or_default(),
            ]
        })
        .collect();
    Ok(out.table(HEADERS, &rows)?)
}

async fn show(operator: &Operator, id: &str, out: &Output) -> anyhow::Result<()> {
    let response = operator.agents().await?;
    let agent = response.agents.iter().find(|agent| agent.agent_id == id).ok_or_else(|| {
        let message = "no agent of this id is registered: see `palisade agents list`";
        Failure::failed("not_found", message)
    })?;
    if out.json {
        return Ok(out.json(&agent_json(agent))?);
    }
    let rows: Vec<Vec<String>> = [
        ("agent", agent.agent_id.clone()),
        ("status", agent.status.clone()),
        ("instances", agent.instances.join(" ")),
        ("queued", agent.queued.to_string()),
        ("capabilities", agent.capabilities.join(" ")),
        ("allow", agent.allow.join(" ")),
        ("block", agent.block.join(" ")),
        ("roles", agent.roles.join(" ")),
        ("limits", agent.limits.as_ref().map(limits_text).unwrap_or_default()),
    ]
    .map(|(name, value)| vec![name.to_owned(), value])
    .to_vec();
    Ok(out.table(&["what", "value"], &rows)?)
}

fn agent_json(agent: &AgentEntry) -> serde_json::Value {
    json!({
        "agent_id": agent.agent_id,
        "status": agent.status,
        "instances": agent.instances,
        "queued": agent.queued,
        "capabilities": agent.capabilities,
        "allow": agent.allow,
        "block": agent.block,
        "roles": agent.roles,
        "limits": agent.limits.map(limits_json),
    })
}

fn limits_json(limits: Limits) -> serde_json::Value {
    json!({ "per_minute": limits.per_minute, "per_hour": limits.per_hour })
}

fn limits_text(limits: &Limits) -> String {
    format!("{}/min {}/h", limits.per_minute, limits.per_hour)
}

const HEADERS: &[&str] =
    &["agent", "status", "instances", "queued", "allow", "block", "roles", "limits"];
