//! Stage 7: what becomes durable, together, and what happens when the store cannot.

use futures::FutureExt as _;
use futures::future::{join, join_all};
use gate::ports::{Op, Read, StoreError};
use gate::types::{Action, AdminCommand, Answer, MessageId, Refusal, Unavailable};
use policy::Change;
use store::Bounds;

use crate::fixture::{
    Plan, World, ack, answer, ask, call, caller, hello, id, one, operator, poll, say, settle_down,
    state,
};

/// What the store can say, and what the caller learns from it.
fn faults() -> Vec<(StoreError, &'static str)> {
    vec![
        (StoreError::Busy, "backpressure"),
        (StoreError::Full { what: "queue of the target" }, "backpressure"),
        (StoreError::DiskFull, "disk_full"),
        (StoreError::Unreachable("socket 7".to_owned()), "store_unavailable"),
        (StoreError::Corrupt("block 9".to_owned()), "store_unavailable"),
        (StoreError::Conflict { op: 0 }, "store_unavailable"),
    ]
}

const fn is_enqueue(op: &Op) -> bool {
    matches!(op, Op::Enqueue(_))
}

const fn is_record(op: &Op) -> bool {
    matches!(op, Op::Record { .. })
}

/// Returns the names of the operations of the latest batch.
fn latest(world: &World) -> Vec<&'static str> {
    let batch = world.store.commits().pop().unwrap();
    let name = |op: &Op| match op {
        Op::Put { .. } => "put",
        Op::Delete { .. } => "delete",
        Op::Count { .. } => "count",
        Op::Enqueue(_) => "enqueue",
        Op::Remember(_) => "remember",
        Op::Settle { .. } => "settle",
        Op::Expire { .. } => "expire",
        Op::Revive { .. } => "revive",
        Op::Drop { .. } => "drop",
        Op::Record { .. } => "record",
    };
    batch.ops.iter().map(name).collect()
}

#[tokio::test(start_paused = true)]
async fn a_message_and_its_record_are_one_commit() {
    let world = World::new(Plan::new()).await;
    let (_a, mut b) = (world.open("a", "i1").await, world.open("b", "i1").await);
    let before = world.store.commits().len();
    world.send("a", "b", "{}").await;
    assert_eq!(world.store.commits().len(), before + 1);
    assert_eq!(latest(&world), ["count", "enqueue", "record"]);
    let received = one(&mut b);
    let record = world.record("message.send").await;
    assert_eq!(record.message_id.as_deref(), Some(id(&received).to_string().as_str()));
    ack(&b, &received).await;

    let request = world.request("a", "b").await;
    assert_eq!(world.store.commits().len(), before + 3);
    assert_eq!(latest(&world), ["count", "put", "enqueue", "record"]);
    world.accept("b", answer(&request, "{}")).await;
    assert_eq!(world.store.commits().len(), before + 4);
    assert_eq!(latest(&world), ["count", "delete", "enqueue", "record"]);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_does_not_take_a_message_is_a_typed_refusal_without_effect() {
    for (fault, reason) in faults() {
        let world = World::new(Plan::new()).await;
        let (_a, mut b) = (world.open("a", "i1").await, world.open("b", "i1").await);
        world.store.fail(1, fault.clone(), is_enqueue);
        let refusal = world.refuse("a", say("b", "{}"), "BACKPRESSURE", reason).await;
        assert!(refusal.retry_after().is_some(), "{fault}");
        // What is wrong with the store is for the log, not for the caller.
        let said = refusal.to_string();
        assert!(!said.contains("socket") && !said.contains("block 9"), "{said}");
        assert!(poll(&mut b).is_empty(), "{fault}");
        let refused = MessageId::parse(&world.record("message.send").await.request_id).unwrap();
        assert_eq!(world.status("a", refused).await, None, "{fault}");
        world.send("a", "b", "{}").await;
        one(&mut b);
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_decided_without_a_record() {
    for (fault, reason) in faults() {
        let world = World::new(Plan::new()).await;
        let (_a, mut b) = (world.open("a", "i1").await, world.open("b", "i1").await);
        let records = world.records().await;
        // Neither an acceptance nor a refusal can be recorded.
        for (action, commits) in [(say("b", "{}"), 2), (say("c", "{}"), 1)] {
            world.store.fail(commits, fault.clone(), is_record);
            let refusal = world.run(caller("a"), action).await.unwrap_err();
            assert_eq!((refusal.code(), refusal.decision().as_str()), (reason, "BACKPRESSURE"));
        }
        assert_eq!(world.records().await, records);
        assert!(poll(&mut b).is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_cannot_be_read_refuses() {
    let world = World::new(Plan::new()).await;
    let (_a, _b) = (world.open("a", "i1").await, world.open("b", "i1").await);
    let request = world.request("a", "b").await;
    let broken = || StoreError::Unreachable("gone".to_owned());
    for (agent, action) in [
        ("a", say("b", "{}")),
        ("a", ask("b", "{}", None)),
        ("b", answer(&request, "{}")),
        ("a", Action::ReadState),
        ("a", state(&[("k", "v")])),
    ] {
        world.store.fail_read(broken(), |_| true);
        let refusal = world.refuse(agent, action, "BACKPRESSURE", "store_unavailable").await;
        assert!(matches!(refusal, Refusal::Unavailable(Unavailable::Store(_))));
    }
    // Behind the rate limit, what is asked for itself; a call has one record then too.
    let status = Action::MessageStatus { message: format!("{:032x}", 1) };
    for (agent, action, hits) in [
        (
            "b",
            answer(&request, "{}"),
            (|what| matches!(what, Read::Value(..))) as fn(&Read) -> bool,
        ),
        ("a", Action::ReadState, |what| matches!(what, Read::Value(..))),
        ("a", status, |what| matches!(what, Read::Message(_))),
    ] {
        world.store.fail_read(broken(), hits);
        world.refuse(agent, action, "BACKPRESSURE", "store_unavailable").await;
    }
    world.store.fail_read(broken(), |what| matches!(what, Read::Depth(_)));
    let list = Action::Administer(AdminCommand::ListAgents);
    world.refuse_caller(operator("root"), list, "BACKPRESSURE", "store_unavailable").await;
    // The request is still open.
    world.accept("b", answer(&request, "{}")).await;
}

#[tokio::test(start_paused = true)]
async fn a_run_goes_on_when_its_caller_goes_away() {
    let world = World::new(Plan::new()).await;
    let (_a, mut b) = (world.open("a", "i1").await, world.open("b", "i1").await);
    let mut run = Box::pin(world.gate.run(call(caller("a"), say("b", "{}"))));
    assert!((&mut run).now_or_never().is_none());
    drop(run);
    settle_down().await;
    let received = one(&mut b);
    let record = world.record("message.send").await;
    assert_eq!(record.decision, "ALLOWED");
    assert_eq!(record.message_id.as_deref(), Some(id(&received).to_string().as_str()));

    // A session whose client went away while it opened is not left behind.
    let mut run = Box::pin(world.gate.run(call(caller("c"), hello("i1"))));
    assert!((&mut run).now_or_never().is_none());
    drop(run);
    settle_down().await;
    assert_eq!(world.gate.hub().session_count(), 2);
    assert_eq!(world.record("session.close").await.agent_id, "c");
    let _c = world.open("c", "i1").await;
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_not_stored_is_not_open_and_a_reply_that_is_not_leaves_it_open() {
    let world = World::new(Plan::new()).await;
    let (mut a, _b) = (world.open("a", "i1").await, world.open("b", "i1").await);
    world.store.fail(1, StoreError::Busy, is_enqueue);
    world.refuse("a", ask("b", "{}", None), "BACKPRESSURE", "backpressure").await;
    let refused = world.record("message.request").await.correlation_id.unwrap();
    world.refuse("b", answer(&refused, "{}"), "INVALID", "unknown_correlation_id").await;

    let request = world.request("a", "b").await;
    world.store.fail(1, StoreError::DiskFull, is_enqueue);
    world.refuse("b", answer(&request, "{}"), "BACKPRESSURE", "disk_full").await;
    world.accept("b", answer(&request, "{}")).await;
    one(&mut a);
}

#[tokio::test(start_paused = true)]
async fn of_racing_replies_one_wins() {
    let world = World::new(Plan::new()).await;
    let (mut a, _b) = (world.open("a", "i1").await, world.open("b", "i1").await);
    let request = world.request("a", "b").await;
    let replies = (0..5).map(|_| world.run(caller("b"), answer(&request, "{}")));
    let answers = join_all(replies).await;
    let lost = |one: &&Result<Answer, Refusal>| matches!(one, Err(Refusal::UnknownCorrelation));
    assert_eq!(answers.iter().filter(|one| one.is_ok()).count(), 1);
    assert_eq!(answers.iter().filter(lost).count(), 4);
    one(&mut a);
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_pushes_back_until_it_is_drained() {
    let bounds = Bounds { queue_len_max: 2, ..Bounds::default() };
    let world = World::bounded(Plan::new(), bounds).await;
    let (_a, mut b) = (world.open("a", "i1").await, world.open("b", "i1").await);
    world.send("a", "b", "{}").await;
    world.send("a", "b", "{}").await;
    let refusal = world.refuse("a", say("b", "{}"), "BACKPRESSURE", "backpressure").await;
    assert!(matches!(refusal, Refusal::Backpressure { what: "queue of the target", .. }));
    // Another target has its own queue.
    world.send("b", "a", "{}").await;
    let received = poll(&mut b);
    ack(&b, &received[0]).await;
    world.send("a", "b", "{}").await;
}

#[tokio::test(start_paused = true)]
async fn updates_of_one_state_do_not_undo_each_other() {
    let world = World::new(Plan::new()).await;
    let fields = ["f0", "f1", "f2", "f3", "f4", "f5", "f6", "f7"];
    let updates = fields.iter().map(|field| world.run(caller("a"), state(&[(field, "1")])));
    for answer in join_all(updates).await {
        assert!(matches!(answer, Ok(Answer::Done)), "{answer:?}");
    }
    let Answer::State(kept) = world.accept("a", Action::ReadState).await else { panic!("none") };
    assert_eq!(kept.into_keys().collect::<Vec<_>>(), fields);
    // Whoever loses too often is told to come again.
    let is_put = |op: &Op| matches!(op, Op::Put { .. });
    world.store.fail(15, StoreError::Conflict { op: 1 }, is_put);
    world.accept("a", state(&[("f0", "2")])).await;
    world.store.fail(16, StoreError::Conflict { op: 1 }, is_put);
    world.refuse("a", state(&[("f0", "3")]), "BACKPRESSURE", "backpressure").await;
    let Answer::State(kept) = world.accept("a", Action::ReadState).await else { panic!("none") };
    assert_eq!(kept["f0"], "2");
}

#[tokio::test(start_paused = true)]
async fn a_state_has_a_largest_size_and_is_an_agents_own() {
    let world = World::new(Plan::new()).await;
    // 1,000 bytes with the names.
    world.accept("a", state(&[("k", &"x".repeat(499)), ("l", &"x".repeat(499))])).await;
    let refusal =
        world.refuse("a", state(&[("k", &"x".repeat(500))]), "INVALID", "state_too_large");
    assert_eq!(refusal.await, Refusal::StateTooLarge { bytes: 1_001, max: 1_000 });
    world.accept("a", state(&[("l", "")])).await;
    world.accept("a", state(&[])).await;
    let Answer::State(kept) = world.accept("a", Action::ReadState).await else { panic!("none") };
    assert_eq!((kept["k"].len(), kept["l"].len()), (499, 0));
    let Answer::State(other) = world.accept("b", Action::ReadState).await else { panic!("none") };
    assert!(other.is_empty());
    let world = world.restarted(Plan::new()).await;
    let Answer::State(again) = world.accept("a", Action::ReadState).await else { panic!("none") };
    assert_eq!(again, kept);
    world.accept("a", Action::ResetState).await;
    let Answer::State(none) = world.accept("a", Action::ReadState).await else { panic!("none") };
    assert!(none.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_change_that_is_not_stored_is_not_in_force() {
    let world = World::new(Plan::new()).await;
    let _a = world.open("a", "i1").await;
    let allow = Change::Allow { agent: "a".to_owned(), target: "c".to_owned() };
    let change = || Action::Administer(AdminCommand::ChangePolicy(vec![allow.clone()]));
    world.store.fail(1, StoreError::DiskFull, |op| matches!(op, Op::Put { .. }));
    world.refuse_caller(operator("root"), change(), "BACKPRESSURE", "disk_full").await;
    world.refuse("a", say("c", "{}"), "AUTHZ_DENIED", "denied").await;
    world.store.fail(1, StoreError::DiskFull, |op| matches!(op, Op::Put { .. }));
    let register = Action::RegisterKey { key: "key-1".to_owned() };
    world.refuse("b", register, "BACKPRESSURE", "disk_full").await;
    let snapshot = world.gate.registry().snapshot();
    assert_eq!(snapshot.registration(&crate::fixture::agent("b")).unwrap().sealing_key, None);
    world.run(operator("root"), change()).await.unwrap();
    world.send("a", "c", "{}").await;
}

#[tokio::test(start_paused = true)]
async fn two_changes_at_once_are_both_in_force() {
    let world = World::new(Plan::new()).await;
    let change = |target: &str| {
        let allow = Change::Allow { agent: "a".to_owned(), target: target.to_owned() };
        world.run(operator("root"), Action::Administer(AdminCommand::ChangePolicy(vec![allow])))
    };
    let (first, second) = join(change("c"), change("d")).await;
    assert!(first.is_ok() && second.is_ok());
    let _a = world.open("a", "i1").await;
    world.send("a", "c", "{}").await;
    world.send("a", "d", "{}").await;
}
