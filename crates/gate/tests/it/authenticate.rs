//! Stage 1: whose credential holds, and who is registered.

use std::time::Duration;

use gate::types::{
    Action, AdminCommand, Caller, Hello, Principal, PrincipalKind, Refusal, Rejection,
};

use crate::fixture::{
    Plan, World, agent, answer, ask, caller, hello, one, operator, pass, poll, say, say_from, state,
};

/// Everything that an agent can ask.
fn actions() -> Vec<Action> {
    vec![
        Action::Connect,
        Action::Oversize,
        hello("i9"),
        Action::Open(Hello::Missing),
        say("b", "{}"),
        ask("b", "{}", None),
        answer("00000000000000000000000000000001", "{}"),
        Action::Discover { capabilities: Vec::new() },
        Action::ReadState,
        state(&[("field", "value")]),
        Action::ResetState,
        Action::MessageStatus { message: "00000000000000000000000000000001".to_owned() },
        Action::RegisterKey { key: "key-1".to_owned() },
    ]
}

#[tokio::test(start_paused = true)]
async fn a_credential_that_the_door_rejected_is_refused_whatever_is_asked() {
    let world = World::new(Plan::new()).await;
    let rejection = Rejection { code: "invalid_spiffe_san", reason: "two SPIFFE IDs".to_owned() };
    let mut asked = actions();
    asked.push(Action::Administer(AdminCommand::ListAgents));
    for action in asked {
        let event = action.event_type();
        let caller = Caller::Rejected(rejection.clone());
        let refusal =
            world.refuse_caller(caller, action, "AUTHN_FAILED", "invalid_spiffe_san").await;
        assert_eq!(refusal.to_string(), "two SPIFFE IDs");
        let record = world.record(event).await;
        assert_eq!((record.agent_id.as_ref(), record.user_id, record.sender_id), ("", None, None));
        assert_eq!(record.peer.as_deref(), Some("192.0.2.7:4711"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_credential_holds_until_its_last_moment_and_not_longer() {
    let world = World::new(Plan::new()).await;
    let ends = world.now().after(Duration::from_secs(5));
    let principal = Principal {
        kind: PrincipalKind::Agent(agent("a")),
        spiffe_id: "spiffe://mas/agent/a".to_owned(),
        valid_until: ends,
    };
    let caller = Caller::Verified(principal);
    pass(Duration::from_secs(5)).await;
    world.run(caller.clone(), Action::ReadState).await.unwrap();
    pass(Duration::from_micros(1)).await;
    let refusal =
        world.refuse_caller(caller, Action::ReadState, "AUTHN_FAILED", "credential_expired").await;
    assert_eq!(refusal, Refusal::CredentialExpired);
    let record = world.record("state.read").await;
    assert_eq!(record.agent_id, "a");
    assert_eq!(record.spiffe_id.as_deref(), Some("spiffe://mas/agent/a"));
}

#[tokio::test(start_paused = true)]
async fn an_agent_off_the_allowlist_is_refused_whatever_it_asks() {
    let world = World::new(Plan::new().allow("stranger", "*")).await;
    for action in actions() {
        world.refuse("stranger", action, "AUTHN_FAILED", "agent_not_allowlisted").await;
    }
    assert_eq!(world.gate.hub().session_count(), 0);
}

#[tokio::test(start_paused = true)]
async fn agents_do_not_administer_and_operators_do_nothing_else() {
    let world = World::new(Plan::new()).await;
    let administer = || Action::Administer(AdminCommand::ListAgents);
    world.refuse("a", administer(), "AUTHN_FAILED", "wrong_principal").await;
    for action in actions() {
        world.refuse_caller(operator("root"), action, "AUTHN_FAILED", "wrong_principal").await;
    }
    world.run(operator("root"), administer()).await.unwrap();
    // Not even an operator who is named like an agent, or an agent named like an operator.
    for stranger in ["a", "Root", "root "] {
        let caller = operator(stranger);
        let refusal =
            world.refuse_caller(caller, administer(), "AUTHN_FAILED", "wrong_principal").await;
        assert_eq!(refusal.to_string(), "this call needs the certificate of a registered operator");
        let record = world.record("admin.list_agents").await;
        assert_eq!((record.user_id.as_deref(), record.agent_id.as_ref()), (Some(stranger), ""));
    }
    let world = World::new(Plan::new().register("root", |_| {})).await;
    world.refuse("root", administer(), "AUTHN_FAILED", "wrong_principal").await;
}

#[tokio::test(start_paused = true)]
async fn who_sends_comes_from_the_credential_and_never_from_the_request() {
    let world = World::new(Plan::new()).await;
    let _a = world.open("a", "i1").await;
    let mut b = world.open("b", "i1").await;
    let _c = world.open("c", "only-c").await;
    // The instance of another agent is not a session of the caller.
    let stolen = say_from("only-c", "b", "{}");
    world.refuse("a", stolen, "INVALID", "session_not_connected").await;
    let forged = r#"{"sender_id":"c","meta":{"sender_instance_id":"only-c"}}"#;
    world.run(caller("a"), say("b", forged)).await.unwrap();
    let envelope = one(&mut b).envelope;
    assert_eq!(envelope["sender_id"], "a");
    assert_eq!(envelope["meta"]["sender_instance_id"], "i1");
    let record = world.record("message.send").await;
    assert_eq!((record.agent_id.as_ref(), record.sender_id.as_deref()), ("a", Some("a")));
    assert!(poll(&mut b).is_empty());
}
