//! Messages that are decided together, and what makes a retry of one safe.

use std::task::{Context, Poll, Waker};

use futures::FutureExt as _;
use gate::delivery::{Receipt, ReceiptKind, Session, Wanted};
use gate::ports::{Op, StoreError};
use gate::types::{Action, Answer, Item, MessageId, Publish, Refusal, TraceContext};
use store::Bounds;

use crate::fixture::{
    Plan, World, ack, answer, ask, caller, limits, nack, one, pass, poll, say, seconds,
    settle_down, text_of,
};

fn item(key: &str, action: Action) -> Item {
    let (trace, wanted) = (TraceContext::default(), Wanted::default());
    Item { action, trace, key: key.to_owned(), ttl: None, wanted }
}

fn numbered(count: usize) -> Vec<Item> {
    (0..count).map(|n| item("", say("b", &format!("{{\"n\":{n}}}")))).collect()
}

impl World {
    async fn publish(
        &self,
        agent: &str,
        session: &Session,
        items: Vec<Item>,
    ) -> Vec<Result<Answer, Refusal>> {
        let peer = "192.0.2.7:4711".to_owned();
        let publish = Publish { caller: caller(agent), peer, items };
        self.gate.publish(publish, &session.handle()).await.outcomes().await
    }

    /// Publishes one item that must be accepted; returns its message and whether that is not new.
    async fn accepted(&self, agent: &str, session: &Session, item: Item) -> (MessageId, bool) {
        let outcome = self.publish(agent, session, vec![item]).await.pop().unwrap();
        let Ok(Answer::Accepted { message, duplicate, .. }) = outcome else {
            panic!("not accepted: {outcome:?}")
        };
        (message, duplicate)
    }

    async fn refused(&self, agent: &str, session: &Session, item: Item) -> Refusal {
        self.publish(agent, session, vec![item]).await.pop().unwrap().unwrap_err()
    }
}

fn codes(outcomes: &[Result<Answer, Refusal>]) -> Vec<&'static str> {
    let code = |one: &Result<Answer, Refusal>| one.as_ref().map_or_else(Refusal::code, |_| "ok");
    outcomes.iter().map(code).collect()
}

#[tokio::test(start_paused = true)]
async fn items_are_judged_one_by_one_recorded_one_by_one_and_keep_their_order() {
    let world = World::new(Plan::new()).await;
    let (a, mut b) = (world.open("a", "i1").await, world.open("b", "i1").await);
    let before = world.records().await.len();
    let items = vec![
        item("", say("b", "{\"n\":0}")),
        item("", say("d", "{}")),
        item("", say("b", "{\"n\":1}")),
        item("", say("b", "[]")),
        item("", Action::Malformed),
        item("", say("b", "{\"n\":2}")),
    ];
    let outcomes = world.publish("a", &a, items).await;
    let wanted =
        ["ok", "not_authorized", "ok", "payload_must_be_object", "malformed_request", "ok"];
    assert_eq!(codes(&outcomes), wanted);
    assert_eq!(text_of(&poll(&mut b)), ["{\"n\":0}", "{\"n\":1}", "{\"n\":2}"]);
    let records = world.records().await.split_off(before);
    let decisions: Vec<_> = records.iter().map(|record| record.decision.as_ref()).collect();
    assert_eq!(decisions, ["ALLOWED", "AUTHZ_DENIED", "ALLOWED", "INVALID", "INVALID", "ALLOWED"]);
}

#[tokio::test(start_paused = true)]
async fn a_later_call_is_behind_an_earlier_one_that_nobody_has_waited_for() {
    let world = World::new(Plan::new()).await;
    let (a, mut b) = (world.open("a", "i1").await, world.open("b", "i1").await);
    let handle = a.handle();
    let publish = |items| Publish { caller: caller("a"), peer: String::new(), items };
    let first = world.gate.publish(publish(numbered(3)), &handle).await;
    let second = world.gate.publish(publish(numbered(2)), &handle).await;
    // The first is dropped: what was handed in stays handed in.
    drop(first);
    assert_eq!(codes(&second.outcomes().await), ["ok", "ok"]);
    settle_down().await;
    let numbers = ["{\"n\":0}", "{\"n\":1}", "{\"n\":2}", "{\"n\":0}", "{\"n\":1}"];
    assert_eq!(text_of(&poll(&mut b)), numbers);
}

#[tokio::test(start_paused = true)]
async fn a_retry_with_the_same_key_returns_the_original_outcome() {
    let world = World::new(Plan::new()).await;
    let (a, mut b) = (world.open("a", "i1").await, world.open("b", "i1").await);
    let c = world.open("c", "i1").await;
    let first = world.accepted("a", &a, item("k", say("b", "{}"))).await;
    assert!(!first.1);
    for _ in 0..3 {
        assert_eq!(world.accepted("a", &a, item("k", say("b", " {} "))).await, (first.0, true));
    }
    let record = world.record("message.duplicate").await;
    assert_eq!(record.message_id.as_deref(), Some(first.0.to_string().as_str()));
    assert_eq!(record.decision, "ALLOWED");
    assert_eq!(poll(&mut b).len(), 1);
    // Another sender's key is its own, and another key another message.
    assert!(!world.accepted("c", &c, item("k", say("b", "{}"))).await.1);
    assert!(!world.accepted("a", &a, item("l", say("b", "{}"))).await.1);
    assert_eq!(poll(&mut b).len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_key_with_another_content_is_refused_with_a_record() {
    let world = World::new(Plan::new().allow("a", "c")).await;
    let (a, mut b) = (world.open("a", "i1").await, world.open("b", "i1").await);
    world.accepted("a", &a, item("k", say("b", "{}"))).await;
    let other = [
        item("k", say("b", "{\"n\":1}")),
        item("k", say("c", "{}")),
        item("k", ask("b", "{}", None)),
        item("k", answer(&"0".repeat(32), "{}")),
        Item { ttl: Some(seconds(5)), ..item("k", say("b", "{}")) },
    ];
    for item in other {
        assert_eq!(world.refused("a", &a, item).await, Refusal::KeyReused);
        let record = world.records().await.pop().unwrap();
        assert_eq!(record.reason.as_deref(), Some("idempotency_key_reused"));
    }
    let long = world.refused("a", &a, item(&"k".repeat(65), say("b", "{}"))).await;
    assert_eq!(long.code(), "invalid_field");
    assert!(!world.accepted("a", &a, item(&"k".repeat(64), say("b", "{}"))).await.1);
    assert_eq!(poll(&mut b).len(), 2);
}

#[tokio::test(start_paused = true)]
async fn of_items_with_one_key_in_one_call_one_makes_the_message() {
    let world = World::new(Plan::new()).await;
    let (a, mut b) = (world.open("a", "i1").await, world.open("b", "i1").await);
    let items = vec![
        item("k", say("b", "{}")),
        item("k", say("b", "{}")),
        item("k", say("b", "{\"n\":1}")),
    ];
    let outcomes = world.publish("a", &a, items).await;
    assert_eq!(codes(&outcomes), ["ok", "ok", "idempotency_key_reused"]);
    let message = |one: &Result<Answer, Refusal>| {
        let Ok(Answer::Accepted { message, duplicate, .. }) = one else { panic!("{one:?}") };
        (*message, *duplicate)
    };
    let (first, second) = (message(&outcomes[0]), message(&outcomes[1]));
    assert_eq!((first.0, false, true), (second.0, first.1, second.1));
    assert_eq!(poll(&mut b).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_not_remembered() {
    let plan = Plan::new().register("a", |agent| agent.limits = Some(limits(1, 100)));
    let world = World::new(plan).await;
    let (a, mut b) = (world.open("a", "i1").await, world.open("b", "i1").await);
    world.accepted("a", &a, item("", say("b", "{}"))).await;
    let refusal = world.refused("a", &a, item("k", say("b", "{}"))).await;
    assert_eq!(refusal.code(), "rate_limited");
    pass(seconds(61)).await;
    assert!(!world.accepted("a", &a, item("k", say("b", "{}"))).await.1);
    assert_eq!(poll(&mut b).len(), 2);
    // A repeat is no message, so the limit for messages does not count it.
    assert!(world.accepted("a", &a, item("k", say("b", "{}"))).await.1);
}

#[tokio::test(start_paused = true)]
async fn a_repeat_needs_no_rule_and_no_open_request_any_more() {
    let world = World::new(Plan::new()).await;
    let (a, mut b) = (world.open("a", "i1").await, world.open("b", "i1").await);
    let correlation = world.request("a", "b").await;
    one(&mut b);
    let reply = || item("k", answer(&correlation, "{}"));
    let first = world.accepted("b", &b, reply()).await;
    let second = world.accepted("b", &b, reply()).await;
    assert_eq!((first.0, true), second);
    let refusal = world.refused("b", &b, item("l", answer(&correlation, "{}"))).await;
    assert_eq!(refusal, Refusal::UnknownCorrelation);
    drop(a);
}

#[tokio::test(start_paused = true)]
async fn keys_end_with_their_time_and_outlive_a_restart() {
    let world = World::new(Plan::new()).await;
    let a = world.open("a", "i1").await;
    let first = world.accepted("a", &a, item("k", say("b", "{}"))).await;
    let world = world.restarted(Plan::new()).await;
    let a = world.open("a", "i1").await;
    assert_eq!(world.accepted("a", &a, item("k", say("b", "{}"))).await, (first.0, true));
    pass(seconds(86_400)).await;
    let later = world.accepted("a", &a, item("k", say("b", "{}"))).await;
    assert!(!later.1 && later.0 != first.0);
}

#[tokio::test(start_paused = true)]
async fn what_the_store_has_no_room_for_is_refused_and_recorded_alone() {
    let bounds = Bounds { queue_len_max: 2, ..Bounds::default() };
    let world = World::bounded(Plan::new(), bounds).await;
    let (a, mut b) = (world.open("a", "i1").await, world.open("b", "i1").await);
    let before = world.records().await.len();
    let outcomes = world.publish("a", &a, numbered(4)).await;
    assert_eq!(codes(&outcomes), ["ok", "ok", "backpressure", "backpressure"]);
    assert_eq!(poll(&mut b).len(), 2);
    let records = world.records().await.split_off(before);
    let decisions: Vec<_> = records.iter().map(|record| record.decision.as_ref()).collect();
    assert_eq!(decisions, ["ALLOWED", "ALLOWED", "BACKPRESSURE", "BACKPRESSURE"]);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_for_one_item_accepts_the_others() {
    let world = World::new(Plan::new()).await;
    let (a, mut b) = (world.open("a", "i1").await, world.open("b", "i1").await);
    world.store.fail(1, StoreError::Busy, |op| matches!(op, Op::Enqueue(_)));
    let outcomes = world.publish("a", &a, numbered(3)).await;
    assert_eq!(codes(&outcomes), ["backpressure", "ok", "ok"]);
    assert_eq!(text_of(&poll(&mut b)), ["{\"n\":1}", "{\"n\":2}"]);
}

#[tokio::test(start_paused = true)]
async fn a_message_is_kept_no_longer_than_its_sender_says() {
    let world = World::new(Plan::new()).await;
    let a = world.open("a", "i1").await;
    let short = Item { ttl: Some(seconds(5)), ..item("", say("b", "{}")) };
    world.accepted("a", &a, short).await;
    world.accepted("a", &a, item("", say("b", "{\"n\":1}"))).await;
    pass(seconds(6)).await;
    let mut b = world.open("b", "i1").await;
    assert_eq!(text_of(&poll(&mut b)), ["{\"n\":1}"]);
}

fn told(session: &Session) -> Vec<(ReceiptKind, u32, String)> {
    let context = Context::from_waker(Waker::noop());
    let Poll::Ready((receipts, dropped)) = session.handle().poll_receipts(&context) else {
        return Vec::new();
    };
    assert_eq!(dropped, 0);
    let short = |one: Receipt| (one.kind, one.attempts, one.reason);
    receipts.into_iter().map(short).collect()
}

fn all() -> Wanted {
    let mut wanted = Wanted::default();
    for kind in [
        ReceiptKind::Accepted,
        ReceiptKind::Queued,
        ReceiptKind::Delivered,
        ReceiptKind::Acknowledged,
        ReceiptKind::Expired,
        ReceiptKind::DeadLettered,
    ] {
        wanted.add(kind);
    }
    wanted
}

fn short(kind: ReceiptKind, attempts: u32) -> (ReceiptKind, u32, String) {
    (kind, attempts, String::new())
}

#[tokio::test(start_paused = true)]
async fn a_sender_is_told_what_became_of_its_message_once_it_knows_of_it() {
    let world = World::new(Plan::new()).await;
    let (a, mut b) = (world.open("a", "i1").await, world.open("b", "i1").await);
    let wanted = |key| Item { wanted: all(), ..item(key, say("b", "{}")) };
    let (first, _) = world.accepted("a", &a, wanted("k")).await;
    let received = one(&mut b);
    assert_eq!(told(&a), [], "the sender has no outcome yet");
    a.handle().heard(first, "b");
    let early = [short(ReceiptKind::Accepted, 0), short(ReceiptKind::Delivered, 1)];
    assert_eq!(told(&a), early);
    nack(&b, &received, true).await;
    pass(seconds(2)).await;
    let again = one(&mut b);
    ack(&b, &again).await;
    let end = [short(ReceiptKind::Delivered, 2), short(ReceiptKind::Acknowledged, 2)];
    assert_eq!(told(&a), end);
    // A repeat is told the state so far.
    let (repeated, _) = world.accepted("a", &a, wanted("k")).await;
    a.handle().follow_again(repeated, all()).await;
    let so_far = [short(ReceiptKind::Accepted, 0), short(ReceiptKind::Acknowledged, 2)];
    assert_eq!(told(&a), so_far);
    // What is not wanted is not told.
    world.accepted("a", &a, item("", say("b", "{}"))).await;
    let received = one(&mut b);
    ack(&b, &received).await;
    assert_eq!(told(&a), []);
}

#[tokio::test(start_paused = true)]
async fn a_sender_is_told_of_waiting_expiry_and_death_without_the_receivers_words() {
    let world = World::new(Plan::new()).await;
    let a = world.open("a", "i1").await;
    let wanted = Item { wanted: all(), ttl: Some(seconds(5)), ..item("", say("b", "{}")) };
    let (first, _) = world.accepted("a", &a, wanted).await;
    a.handle().heard(first, "b");
    assert_eq!(told(&a), [short(ReceiptKind::Accepted, 0), short(ReceiptKind::Queued, 0)]);
    pass(seconds(7)).await;
    assert_eq!(told(&a), [short(ReceiptKind::Expired, 0)]);
    let mut b = world.open("b", "i1").await;
    let wanted = Item { wanted: all(), ..item("", say("b", "{}")) };
    let (second, _) = world.accepted("a", &a, wanted).await;
    a.handle().heard(second, "b");
    let received = one(&mut b);
    nack(&b, &received, false).await;
    let dead = (ReceiptKind::DeadLettered, 1, "refused".to_owned());
    let wanted = [short(ReceiptKind::Accepted, 0), short(ReceiptKind::Delivered, 1), dead];
    assert_eq!(told(&a), wanted);
}

#[tokio::test(start_paused = true)]
async fn a_session_is_never_handed_more_than_it_said_and_one_message_always() {
    let world = World::new(Plan::new()).await;
    let (a, mut b) = (world.open("a", "i1").await, world.open("b", "i1").await);
    world.publish("a", &a, numbered(3)).await;
    let one_envelope = 400;
    assert_eq!(b.handle().limit(0, one_envelope), (10, one_envelope));
    let first = one(&mut b);
    assert_eq!(first.delivery.number(), 1);
    assert!(poll(&mut b).is_empty(), "a second message is beyond the credit");
    b.handle().widen(one_envelope);
    let second = one(&mut b);
    assert_eq!(second.delivery.number(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_message_larger_than_the_credit_comes_alone() {
    let world = World::new(Plan::new()).await;
    let (a, mut b) = (world.open("a", "i1").await, world.open("b", "i1").await);
    let large = format!("{{\"text\":\"{}\"}}", "x".repeat(3_000));
    let _in_force = b.handle().limit(5, 1_000);
    world.accepted("a", &a, item("", say("b", "{}"))).await;
    world.accepted("a", &a, item("", say("b", &large))).await;
    world.accepted("a", &a, item("", say("b", "{}"))).await;
    let first = one(&mut b);
    // It waits for the answer to the first, and is not passed by the one behind it.
    let mut next = Box::pin(b.next());
    assert!((&mut next).now_or_never().is_none());
    drop(next);
    ack(&b, &first).await;
    let second = one(&mut b);
    assert!(second.text.len() > 3_000);
    assert!(poll(&mut b).is_empty());
    ack(&b, &second).await;
    assert_eq!(poll(&mut b).len(), 1);
}
