//! The registry: discovery, and changes at run time over restarts and edited configurations.

use gate::ports::{Batch, Expect, Key, Op, Store as _, StoreError};
use gate::types::{Action, AdminAnswer, AdminCommand, AgentView, Answer};
use policy::Change;

use crate::fixture::{Plan, World, agent, limits, say};

async fn discovered(world: &World, agent: &str, capabilities: &[&str]) -> Vec<AgentView> {
    let capabilities = capabilities.iter().map(|one| (*one).to_owned()).collect();
    let answer = world.accept(agent, Action::Discover { capabilities }).await;
    let Answer::Agents(agents) = answer else { panic!("no agents but {answer:?}") };
    agents
}

fn names(agents: &[AgentView]) -> Vec<&str> {
    agents.iter().map(|view| view.agent.as_str()).collect()
}

fn capable(plan: Plan, agent: &str, capabilities: &[&str]) -> Plan {
    let capabilities = capabilities.iter().map(|one| (*one).to_owned()).collect();
    plan.register(agent, |registration| registration.capabilities = capabilities)
}

#[tokio::test(start_paused = true)]
async fn discovery_shows_who_is_connected_allowed_and_capable() {
    let plan = capable(Plan::closed().allow("a", "*").block("a", "d"), "b", &["qa", "sql"]);
    let plan = capable(capable(plan, "c", &["QA"]), "d", &["qa"]);
    let world = World::new(plan).await;
    assert_eq!(names(&discovered(&world, "a", &[]).await), [""; 0]);
    let (_b, _more) = (world.open("b", "i1").await, world.open("b", "i2").await);
    let c = world.open("c", "i1").await;
    let _d = world.open("d", "i1").await;
    let found = discovered(&world, "a", &[]).await;
    assert_eq!(names(&found), ["b", "c"]);
    assert_eq!(found[0].capabilities, ["qa", "sql"]);
    assert_eq!(found[0].instances, ["i1", "i2"]);
    assert_eq!(found[0].metadata_json, "{\"name\":\"b\"}");
    // Any of them, exactly as written.
    assert_eq!(names(&discovered(&world, "a", &["qa"]).await), ["b"]);
    assert_eq!(names(&discovered(&world, "a", &["QA", "sql"]).await), ["b", "c"]);
    assert_eq!(names(&discovered(&world, "a", &["q"]).await), [""; 0]);
    drop(c);
    assert_eq!(names(&discovered(&world, "a", &[]).await), ["b"]);
    // Oneself, as every target is allowed; and nobody, without a rule.
    let _a = world.open("a", "i1").await;
    assert_eq!(names(&discovered(&world, "a", &[]).await), ["a", "b"]);
    assert_eq!(names(&discovered(&world, "b", &[]).await), [""; 0]);
    assert_eq!(world.record("discover").await.decision, "ALLOWED");
}

#[tokio::test(start_paused = true)]
async fn discovery_follows_roles_and_never_widens_a_block() {
    let plan = Plan::closed().rbac().role("a", "r", "send:*").block("a", "c");
    let world = World::new(plan).await;
    let _sessions = [world.open("b", "i1").await, world.open("c", "i1").await];
    assert_eq!(names(&discovered(&world, "a", &[]).await), ["b"]);
}

fn allow(agent: &str, target: &str) -> Change {
    Change::Allow { agent: agent.to_owned(), target: target.to_owned() }
}

fn block(agent: &str, target: &str) -> Change {
    Change::Block { agent: agent.to_owned(), target: target.to_owned() }
}

#[tokio::test(start_paused = true)]
async fn a_change_survives_a_restart_and_stays_on_top_of_an_edited_configuration() {
    let world = World::new(Plan::closed().allow("a", "b").allow("a", "c")).await;
    let changes = vec![
        allow("a", "d"),
        block("a", "b"),
        Change::Disallow { agent: "a".to_owned(), target: "c".to_owned() },
    ];
    world.admin(AdminCommand::ChangePolicy(changes)).await;
    let revision = world.gate.registry().snapshot().policy.revision().to_owned();

    let same = world.restarted(Plan::closed().allow("a", "b").allow("a", "c")).await;
    assert_eq!(same.gate.registry().snapshot().policy.revision(), revision);
    let _a = same.open("a", "i1").await;
    same.send("a", "d", "{}").await;
    same.refuse("a", say("b", "{}"), "AUTHZ_DENIED", "blocked").await;
    same.refuse("a", say("c", "{}"), "AUTHZ_DENIED", "denied").await;

    // The edit adds what the changes do not speak of, and cannot undo what they say.
    let edited = Plan::closed().allow("a", "b").allow("a", "c").allow("a", "a");
    let edited = same.restarted(edited).await;
    let _a = edited.open("a", "i1").await;
    for target in ["a", "d"] {
        edited.send("a", target, "{}").await;
    }
    edited.refuse("a", say("b", "{}"), "AUTHZ_DENIED", "blocked").await;
    edited.refuse("a", say("c", "{}"), "AUTHZ_DENIED", "denied").await;
    // Nor does a configuration that no longer speaks of the agent's rules widen anything.
    let emptied = edited.restarted(Plan::closed()).await;
    let _a = emptied.open("a", "i1").await;
    emptied.send("a", "d", "{}").await;
    emptied.refuse("a", say("b", "{}"), "AUTHZ_DENIED", "blocked").await;
}

#[tokio::test(start_paused = true)]
async fn roles_changed_at_run_time_survive_a_restart() {
    let plan = || Plan::closed().rbac().role("a", "old", "send:b").role("c", "old", "send:b");
    let world = World::new(plan()).await;
    let create = Change::CreateRole {
        name: "new".to_owned(),
        description: String::new(),
        permissions: ["send:d".to_owned()].into(),
    };
    let assign = Change::Assign { agent: "a".to_owned(), role: "new".to_owned() };
    let delete = Change::DeleteRole { name: "old".to_owned() };
    world.admin(AdminCommand::ChangePolicy(vec![create, assign, delete])).await;
    for world in [world.restarted(plan()).await, world] {
        let _a = [world.open("a", "i1").await, world.open("c", "i1").await];
        world.send("a", "d", "{}").await;
        for agent in ["a", "c"] {
            world.refuse(agent, say("b", "{}"), "AUTHZ_DENIED", "denied").await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn limits_set_and_cleared_survive_a_restart() {
    let plan = || {
        Plan::new()
            .limits(limits(3, 100))
            .register("c", |registration| registration.limits = Some(limits(1, 100)))
    };
    let world = World::new(plan()).await;
    let set = |agent: &str, limits| AdminCommand::SetLimits { agent: agent.to_owned(), limits };
    world.admin(set("a", Some(limits(0, 0)))).await;
    world.admin(set("c", None)).await;
    for world in [world.restarted(plan()).await, world] {
        let _sessions = [world.open("a", "i1").await, world.open("c", "i1").await];
        world.refuse("a", say("b", "{}"), "RATE_LIMITED", "rate_limited").await;
        for _ in 0..3 {
            world.send("c", "b", "{}").await;
        }
        world.refuse("c", say("b", "{}"), "RATE_LIMITED", "rate_limited").await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_kept_change_that_cannot_be_read_stops_the_start() {
    let a = || agent("a");
    let kept = [
        (Key::Rules(a()), "{"),
        (Key::Rules(a()), r#"{"blocked":{}}"#),
        (Key::Role("r".to_owned()), "{}{}"),
        (Key::Limits(a()), r#"{"per_minute":1}"#),
        (Key::SealingKey(a()), "7"),
    ];
    for (key, value) in kept {
        let world = World::new(Plan::new()).await;
        let value = value.as_bytes().into();
        let put = Op::Put { key, value, expect: Expect::Anything, expires_at: None };
        world.store.commit(Batch { ops: vec![put] }).await.unwrap();
        let error = world.fails_to_restart(Plan::new()).await;
        assert!(matches!(error, StoreError::Corrupt(_)), "{error:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_back_to_the_configuration_is_forgotten() {
    let plan = || Plan::closed().allow("a", "b");
    let world = World::new(plan()).await;
    let unblock = Change::Unblock { agent: "a".to_owned(), target: "b".to_owned() };
    for change in [block("a", "b"), unblock] {
        let answer = world.admin(AdminCommand::ChangePolicy(vec![change])).await;
        assert!(matches!(answer, AdminAnswer::Policy { changed: true, .. }));
    }
    // Nothing is kept that could hide a later edit of the file.
    let world = world.restarted(Plan::closed()).await;
    let _a = world.open("a", "i1").await;
    world.refuse("a", say("b", "{}"), "AUTHZ_DENIED", "denied").await;
}
