//! What operators do: rules, limits and dead letters; in force at once, and recorded.

use std::time::Duration;

use gate::ports::{DeadLetter, MessageState};
use gate::types::{Action, AdminAnswer, AdminCommand, MessageId, Refusal};
use policy::Change;

use crate::fixture::{
    Plan, World, ack, agent, answer, id, limits, nack, one, operator, pass, poll, say, seconds,
};

/// Sends messages that `b` refuses for good.
async fn bury(world: &World, count: usize) -> Vec<MessageId> {
    let _a = world.open("a", "i1").await;
    let mut b = world.open("b", "i1").await;
    let mut dead = Vec::new();
    for number in 0..count {
        dead.push(world.send("a", "b", &format!("{{\"n\":{number}}}")).await);
        let received = one(&mut b);
        nack(&b, &received, false).await;
    }
    dead
}

async fn letters(world: &World, after: &str, count: usize, target: &str) -> Vec<DeadLetter> {
    let (after, target) = (after.to_owned(), target.to_owned());
    let answer = world.admin(AdminCommand::ListDeadLetters { after, count, target }).await;
    let AdminAnswer::DeadLetters(letters) = answer else {
        panic!("no dead letters but {answer:?}")
    };
    letters
}

/// A plan without circuits, in which many messages may be refused.
fn patient() -> Plan {
    Plan::new().set(|settings| settings.circuit = None)
}

#[tokio::test(start_paused = true)]
async fn rules_changed_at_run_time_are_in_force_at_once() {
    let world = World::new(Plan::closed().rbac()).await;
    let _a = world.open("a", "i1").await;
    let [a, b, r] = ["a", "b", "r"].map(str::to_owned);
    let create = Change::CreateRole {
        name: r.clone(),
        description: String::new(),
        permissions: ["send:b".to_owned()].into(),
    };
    let steps = [
        (Change::Allow { agent: a.clone(), target: b.clone() }, None),
        (Change::Block { agent: a.clone(), target: "*".to_owned() }, Some("blocked")),
        (Change::Unblock { agent: a.clone(), target: "*".to_owned() }, None),
        (Change::SetAllow { agent: a.clone(), targets: ["c".to_owned()].into() }, Some("denied")),
        (create, Some("denied")),
        (Change::Assign { agent: a.clone(), role: r.clone() }, None),
        (Change::Revoke { role: r.clone(), permission: "send:b".to_owned() }, Some("denied")),
        (Change::Grant { role: r.clone(), permission: "send:*".to_owned() }, None),
        (Change::SetBlock { agent: a.clone(), targets: [b.clone()].into() }, Some("blocked")),
        (Change::SetBlock { agent: a.clone(), targets: [].into() }, None),
        (Change::Unassign { agent: a, role: r }, Some("denied")),
    ];
    for (change, refused) in steps {
        let said = change.to_string();
        let before = world.gate.registry().snapshot().policy.revision().to_owned();
        let answer = world.admin(AdminCommand::ChangePolicy(vec![change.clone()])).await;
        let AdminAnswer::Policy { changed, revision } = answer else { panic!("{answer:?}") };
        assert!(changed && revision != before, "{said}");
        let record = world.record("policy.changed").await;
        assert_eq!((record.user_id.as_deref(), record.agent_id.as_ref()), (Some("root"), ""));
        assert_eq!(record.decided_by.as_deref(), Some("operators list"));
        assert_eq!((&record.detail["change_0"], &record.detail["revision"]), (&said, &revision));
        match refused {
            Some(code) => drop(world.refuse("a", say("b", "{}"), "AUTHZ_DENIED", code).await),
            None => drop(world.send("a", "b", "{}").await),
        }
        // The same again changes nothing, and is recorded all the same.
        let answer = world.admin(AdminCommand::ChangePolicy(vec![change])).await;
        assert!(matches!(answer, AdminAnswer::Policy { changed: false, .. }), "{said}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_that_makes_no_sense_is_refused_with_all_that_came_with_it() {
    let world = World::new(Plan::closed()).await;
    let _a = world.open("a", "i1").await;
    let good = Change::Allow { agent: "a".to_owned(), target: "b".to_owned() };
    let bad = [
        Change::Assign { agent: "a".to_owned(), role: "ghost".to_owned() },
        Change::Allow { agent: "a".to_owned(), target: "b c".to_owned() },
        Change::Allow { agent: "*".to_owned(), target: "b".to_owned() },
        // No agent can have this name, so no rule for it could be kept.
        Change::Allow { agent: "a.b".to_owned(), target: "b".to_owned() },
    ];
    for change in bad {
        let change = Action::Administer(AdminCommand::ChangePolicy(vec![good.clone(), change]));
        world.refuse_caller(operator("root"), change, "INVALID", "invalid_field").await;
        assert_eq!(world.record("policy.changed").await.user_id.as_deref(), Some("root"));
        world.refuse("a", say("b", "{}"), "AUTHZ_DENIED", "denied").await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_block_at_run_time_stops_a_reply_too() {
    let world = World::new(Plan::new()).await;
    let _sessions = [world.open("a", "i1").await, world.open("b", "i1").await];
    let request = world.request("a", "b").await;
    let block = Change::Block { agent: "b".to_owned(), target: "a".to_owned() };
    world.admin(AdminCommand::ChangePolicy(vec![block])).await;
    world.refuse("b", answer(&request, "{}"), "AUTHZ_DENIED", "blocked").await;
}

#[tokio::test(start_paused = true)]
async fn limits_are_set_and_cleared_at_run_time() {
    let world = World::new(Plan::new().limits(limits(2, 100))).await;
    let _a = world.open("a", "i1").await;
    let set = |agent: &str, limits| AdminCommand::SetLimits { agent: agent.to_owned(), limits };
    world.admin(set("a", Some(limits(1, 100)))).await;
    let record = world.record("policy.limits_changed").await;
    assert_eq!(record.user_id.as_deref(), Some("root"));
    assert_eq!(
        (record.detail["agent"].as_str(), record.detail["limits"].as_str()),
        ("a", "1 a minute, 100 an hour")
    );
    world.send("a", "b", "{}").await;
    world.refuse("a", say("b", "{}"), "RATE_LIMITED", "rate_limited").await;
    world.admin(set("a", None)).await;
    world.send("a", "b", "{}").await;
    world.refuse("a", say("b", "{}"), "RATE_LIMITED", "rate_limited").await;
    for stranger in ["ghost", "", "a b"] {
        let set = Action::Administer(set(stranger, None));
        let refusal = world.refuse_caller(operator("root"), set, "INVALID", "not_found").await;
        assert_eq!(refusal, Refusal::NotFound { what: "agent" });
    }
}

#[tokio::test(start_paused = true)]
async fn the_list_of_agents_shows_rules_limits_instances_and_queues() {
    let plan = Plan::new().register("c", |one| one.limits = Some(limits(7, 8)));
    let world = World::new(plan).await;
    let _a = world.open("a", "i1").await;
    world.send("a", "b", "{}").await;
    let AdminAnswer::Agents(agents) = world.admin(AdminCommand::ListAgents).await else {
        panic!("no agents")
    };
    let [a, b, c, _d] = agents.as_slice() else { panic!("{agents:?}") };
    assert_eq!(
        (&a.agent, a.queued, a.instances.as_slice()),
        (&agent("a"), 0, &["i1".to_owned()][..])
    );
    assert_eq!((b.queued, b.instances.len()), (1, 0));
    assert!(a.rules.allow.contains("b") && b.rules.allow.contains("a"));
    assert_eq!((c.limits, a.limits), (limits(7, 8), limits(100, 1_000)));
    assert_eq!(world.record("admin.list_agents").await.user_id.as_deref(), Some("root"));
}

#[tokio::test(start_paused = true)]
async fn dead_letters_are_listed_page_by_page_and_by_target() {
    let world = World::new(patient()).await;
    let dead = bury(&world, 3).await;
    let ids = |page: Vec<DeadLetter>| page.iter().map(|one| one.view.message).collect::<Vec<_>>();
    assert_eq!(ids(letters(&world, "", 0, "").await), dead);
    assert_eq!(ids(letters(&world, "", 2, "b").await), dead[..2]);
    assert_eq!(ids(letters(&world, &dead[1].to_string(), 2, "b").await), dead[2..]);
    assert_eq!(ids(letters(&world, "", 9, "a").await), []);
    let letter = letters(&world, "", 1, "").await.remove(0);
    assert_eq!(
        (letter.view.state, letter.view.reason.as_str()),
        (MessageState::DeadLettered, "refused: will not")
    );
    assert_eq!((letter.message_type.as_str(), letter.died_at), ("note", world.now()));
    assert!(letter.envelope.is_none() && letter.size > 100);
    for (after, target) in [("x", ""), ("", "a b")] {
        let (after, target) = (after.to_owned(), target.to_owned());
        let list = Action::Administer(AdminCommand::ListDeadLetters { after, count: 1, target });
        world.refuse_caller(operator("root"), list, "INVALID", "not_found").await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_is_shown_with_its_payload_and_the_look_is_recorded() {
    let world = World::new(patient()).await;
    let dead = bury(&world, 1).await.remove(0);
    let show = AdminCommand::ShowDeadLetter(dead.to_string());
    let AdminAnswer::DeadLetter(letter, text) = world.admin(show).await else { panic!("none") };
    assert_eq!(letter.view.message, dead);
    assert!(text.contains("\"data\":{\"n\":0}"), "{text}");
    let record = world.record("admin.show_dead_letter").await;
    assert_eq!((record.user_id.as_deref(), record.target_id.as_deref()), (Some("root"), Some("b")));
    assert_eq!(record.detail["dead_letter"], dead.to_string());
}

#[tokio::test(start_paused = true)]
async fn a_replayed_letter_is_delivered_again_with_fresh_attempts_and_time() {
    let world = World::new(patient()).await;
    let dead = bury(&world, 1).await.remove(0);
    pass(seconds(7_200)).await;
    world.admin(AdminCommand::ReplayDeadLetter(dead.to_string())).await;
    assert_eq!(world.record("admin.replay_dead_letter").await.user_id.as_deref(), Some("root"));
    assert_eq!(letters(&world, "", 0, "").await, []);
    pass(seconds(3_590)).await;
    let mut b = world.open("b", "i1").await;
    for attempt in 1..=3 {
        let received = one(&mut b);
        assert_eq!((id(&received), &received.envelope["data"]["n"]), (dead, &0.into()));
        assert_eq!(world.status("a", dead).await.unwrap().attempts, attempt);
        nack(&b, &received, true).await;
        pass(Duration::from_millis(400)).await;
        assert!(poll(&mut b).is_empty());
        pass(Duration::from_millis(if attempt == 1 { 600 } else { 1_100 })).await;
    }
    assert_eq!(letters(&world, "", 0, "").await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_letter_is_gone() {
    let world = World::new(patient()).await;
    let dead = bury(&world, 2).await;
    world.admin(AdminCommand::DropDeadLetter(dead[0].to_string())).await;
    assert_eq!(world.record("admin.drop_dead_letter").await.user_id.as_deref(), Some("root"));
    assert_eq!(letters(&world, "", 0, "").await.len(), 1);
    let gone = dead[0].to_string();
    for command in [
        AdminCommand::ShowDeadLetter(gone.clone()),
        AdminCommand::ReplayDeadLetter(gone.clone()),
        AdminCommand::DropDeadLetter(gone),
        AdminCommand::ShowDeadLetter("x".to_owned()),
        AdminCommand::DropDeadLetter(String::new()),
    ] {
        let event = command.event_type();
        let command = Action::Administer(command);
        let refusal = world.refuse_caller(operator("root"), command, "INVALID", "not_found").await;
        assert_eq!(refusal, Refusal::NotFound { what: "dead letter" });
        assert_eq!(world.record(event).await.user_id.as_deref(), Some("root"));
    }
    assert_eq!(world.status("a", dead[0]).await, None);
}

#[tokio::test(start_paused = true)]
async fn of_two_operators_one_replays_a_letter() {
    let world = World::new(patient()).await;
    let dead = bury(&world, 1).await.remove(0).to_string();
    let replay = || {
        let command = AdminCommand::ReplayDeadLetter(dead.clone());
        world.run(operator("root"), Action::Administer(command))
    };
    let answers = futures::future::join_all([replay(), replay()]).await;
    let lost: Vec<_> = answers.into_iter().filter_map(Result::err).collect();
    assert_eq!(lost, [Refusal::NotFound { what: "dead letter" }]);
    let mut b = world.open("b", "i2").await;
    let received = one(&mut b);
    ack(&b, &received).await;
}

#[tokio::test(start_paused = true)]
async fn a_dead_reply_is_replayed_to_the_instance_that_asked() {
    let world = World::new(patient()).await;
    let (mut asker, mut other) = (world.open("a", "i1").await, world.open("a", "i2").await);
    let _b = world.open("b", "i1").await;
    let request = world.request("a", "b").await;
    world.accept("b", answer(&request, "{}")).await;
    let received = one(&mut asker);
    nack(&asker, &received, false).await;
    world.admin(AdminCommand::ReplayDeadLetter(id(&received).to_string())).await;
    assert!(poll(&mut other).is_empty());
    assert_eq!(id(&one(&mut asker)), id(&received));
}
