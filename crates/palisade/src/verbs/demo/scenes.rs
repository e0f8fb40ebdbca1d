//! The scenes of the demo, each of which provokes something and checks what the agents see.
//!
//! A scene that does not go as written is an error with the place where it left the script.

use anyhow::{Context as _, ensure};
use palisade_client::admin::ListDeadLettersRequest;
use palisade_client::{HandlerError, MessageId, MessageState};
use serde_json::{Value, json};

use super::actor::Actor;
use super::stage::Stage;
use super::story::{Step, Story};

/// What alice writes decides what becomes of it.
pub(super) async fn contents(
    alice: &Actor,
    bob: &mut Actor,
    story: &mut Story,
) -> anyhow::Result<()> {
    let way = ("alice", "bob");
    for (step, expected, sent, outcome) in passing() {
        let id = alice.send("bob", &sent).await?;
        let got = bob.take(&id).await?;
        let as_expected = match expected {
            "DLP_REDACTED" => is_masked(&sent, &got),
            // Encrypted on its way: bob's own client opened it.
            _ => got == sent,
        };
        ensure!(as_expected, "{step}: bob did not get what he should have got");
        story.add(Step::taken(step, way, expected, &id, outcome).with_payload(&sent));
    }
    let secret = json!({ "key": PRIVATE_KEY });
    let refused = alice.send_refused("bob", &secret).await?;
    story.add(Step::refused("a private key", way, "DLP_BLOCKED", refused));
    Ok(())
}

type Passing = (&'static str, &'static str, Value, &'static str);

fn passing() -> [Passing; 4] {
    [
        ("a plain message", "ALLOWED", json!({ "text": "the report is ready" }), "delivered"),
        (
            "an e-mail address",
            "ALERT",
            json!({ "contact": "grace.hopper@example.com" }),
            "delivered unchanged",
        ),
        (
            "a social security number",
            "DLP_REDACTED",
            json!({ "note": "SSN of the client: 536-22-8145" }),
            "delivered with a mask",
        ),
        (
            "an account number",
            "DLP_ENCRYPTED",
            json!({ "account": "ACCT-20240131" }),
            "only bob's client could open it",
        ),
    ]
}

/// Tells whether the text lost its number and kept the words around it.
fn is_masked(sent: &Value, got: &Value) -> bool {
    let text = |value: &Value| value.get("note").and_then(Value::as_str).map(str::to_owned);
    match (text(sent), text(got)) {
        (Some(sent), Some(got)) => {
            sent != got && got.starts_with("SSN of the client: ") && !got.contains("536-22")
        }
        _ => false,
    }
}

/// Eve has no rule that lets her send; frank has one, and few messages a minute.
pub(super) async fn strangers(
    stage: &Stage,
    bob: &mut Actor,
    story: &mut Story,
) -> anyhow::Result<()> {
    let hello = json!({ "text": "hello" });
    let eve = stage.agent("eve").await?;
    let refused = eve.send_refused("bob", &hello).await?;
    story.add(Step::refused("no rule allows it", ("eve", "bob"), "AUTHZ_DENIED", refused));
    eve.leave().await;
    let frank = stage.agent("frank").await?;
    for _ in 0..2 {
        let id = frank.send("bob", &hello).await?;
        bob.take(&id).await?;
        let step = Step::taken("within the limit", ("frank", "bob"), "ALLOWED", &id, "delivered");
        story.add(step.with_payload(&hello));
    }
    let refused = frank.send_refused("bob", &hello).await?;
    story.add(Step::refused("over the limit", ("frank", "bob"), "RATE_LIMITED", refused));
    frank.leave().await;
    Ok(())
}

/// A request, and the reply to exactly who asked.
pub(super) async fn question(
    alice: &Actor,
    bob: &mut Actor,
    story: &mut Story,
) -> anyhow::Result<()> {
    let (question, answer) = (json!({ "question": "6 * 7" }), json!({ "answer": 42 }));
    let (reply, answered) = tokio::join!(alice.ask("bob", &question), bob.answer(&answer));
    let (reply, (asked, answered)) = (reply?, answered?);
    ensure!(reply.data == answer, "alice got another reply than bob's");
    let step = Step::taken("a request", ("alice", "bob"), "ALLOWED", &asked, "delivered");
    story.add(step.with_payload(&question));
    let step = Step::taken("its reply", ("bob", "alice"), "ALLOWED", &answered, "delivered");
    story.add(step.with_payload(&answer));
    Ok(())
}

/// Bob cannot take a message at first; the gate delivers it again.
pub(super) async fn second_try(
    alice: &Actor,
    bob: &mut Actor,
    story: &mut Story,
) -> anyhow::Result<()> {
    let task = json!({ "task": "print" });
    let id = alice.send("bob", &task).await?;
    bob.refuse(&id, HandlerError::retryable("out of paper")).await?;
    bob.take(&id).await?;
    let attempts = alice.see(&id, MessageState::Acknowledged).await?;
    ensure!(attempts == 2, "the message was delivered {attempts} times, not twice");
    let outcome = "refused for now, delivered again, taken";
    let step = Step::taken("a second try", ("alice", "bob"), "ALLOWED", &id, outcome);
    story.add(step.with_payload(&task));
    Ok(())
}

/// Dave refuses for good, three times: dead letters, and an open circuit.
pub(super) async fn broken_receiver(
    alice: &Actor,
    dave: &mut Actor,
    story: &mut Story,
) -> anyhow::Result<Vec<MessageId>> {
    let way = ("alice", "dave");
    let mut dead = Vec::new();
    for number in 1..=FAILURES {
        let job = json!({ "job": number });
        let id = alice.send("dave", &job).await?;
        dave.refuse(&id, HandlerError::fatal("handler is broken")).await?;
        alice.see(&id, MessageState::DeadLettered).await?;
        let step = Step::taken("a broken receiver", way, "ALLOWED", &id, "refused: dead letter");
        story.add(step.with_payload(&job).but_dead());
        dead.push(id);
    }
    let refused = alice.send_refused("dave", &json!({ "job": "one more" })).await?;
    story.add(Step::refused("the receiver keeps failing", way, "CIRCUIT_OPEN", refused));
    Ok(dead)
}

/// Messages for an absent agent outlive the gate itself.
pub(super) async fn crash(
    stage: &mut Stage,
    alice: &Actor,
    story: &mut Story,
) -> anyhow::Result<()> {
    let mut queued = Vec::new();
    for number in 1..=QUEUED {
        let data = json!({ "number": number });
        let id = alice.send("carol", &data).await?;
        alice.see(&id, MessageState::Queued).await?;
        queued.push((id, data));
    }
    stage.crash_and_restart().await?;
    let mut carol = stage.agent("carol").await?;
    for (id, data) in &queued {
        let got = carol.take(id).await.context("after the crash")?;
        ensure!(got == *data, "carol did not get what alice sent before the crash");
        alice.see(id, MessageState::Acknowledged).await?;
        let outcome = "queued; the gate was killed and started; delivered in order";
        let step = Step::taken("an absent receiver", ("alice", "carol"), "ALLOWED", id, outcome);
        story.add(step.with_payload(data));
    }
    carol.leave().await;
    Ok(())
}

/// The operator gives a dead letter, which outlived the crash too, a second life.
pub(super) async fn replay(
    stage: &Stage,
    alice: &Actor,
    dave: &mut Actor,
    (dead, story): (&[MessageId], &mut Story),
) -> anyhow::Result<()> {
    let operator = stage.operator().await?;
    let request = ListDeadLettersRequest { target_id: "dave".to_owned(), ..Default::default() };
    let letters = operator.dead_letters(request.clone()).await?;
    let listed: Vec<&str> = letters.iter().map(|letter| letter.message_id.as_str()).collect();
    let expected: Vec<&str> = dead.iter().map(MessageId::as_str).collect();
    ensure!(listed == expected, "the dead letters are not those that dave refused");
    let first = dead.first().context("no dead letter")?;
    operator.replay(first.as_str()).await?;
    let data = dave.take(first).await?;
    ensure!(data == json!({ "job": 1 }), "the replayed message is not the one that died");
    alice.see(first, MessageState::Acknowledged).await?;
    let left = operator.dead_letters(request).await?.len();
    ensure!(left + 1 == dead.len(), "{left} dead letters are left");
    let outcome = "dead letter, replayed by the operator, taken";
    story.add(Step::taken("a second life", ("alice", "dave"), "ALLOWED", first, outcome));
    Ok(())
}

/// As many as `circuit_breaker.failure_threshold` in the stage's configuration.
const FAILURES: u32 = 3;
const QUEUED: u32 = 3;
/// The form of a key is enough to be stopped; there is none in it.
const PRIVATE_KEY: &str = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n\
    -----END PRIVATE KEY-----";
