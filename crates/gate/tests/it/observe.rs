//! What is counted and shown of runs and messages.

use std::sync::Arc;

use gate::observe::{MessageStep, Observed, Stage};
use gate::ports::{Observer, Tracer};
use gate::types::{Call, TraceContext};
use parking_lot::Mutex;

use crate::fixture::{
    Plan, World, ack, call, caller, limits, nack, one, pass, poll, say, seconds, settle_down,
};

/// Keeps in plain words what it is shown.
#[derive(Default)]
struct Notes {
    runs: Mutex<Vec<String>>,
    steps: Mutex<Vec<String>>,
}

impl Observer for Notes {
    fn finished(&self, run: &Observed<'_>) {
        let stages: Vec<_> = run.marks.spans().map(|(stage, ..)| stage.as_str()).collect();
        self.runs.lock().push(format!(
            "{} {} {}>{} {} {} {:?} {} bytes {} kinds {} {}",
            run.id,
            run.event_type,
            run.caller,
            run.target.unwrap_or("-"),
            run.decision,
            run.code.unwrap_or("-"),
            run.refused_at,
            run.payload_bytes,
            run.findings,
            run.message_type.unwrap_or("-"),
            stages.join(",")
        ));
    }

    fn moved(&self, step: &MessageStep<'_>) {
        self.steps.lock().push(format!(
            "{:?} {} {}>{} attempt {} trace {:?}",
            step.kind, step.message, step.sender, step.target, step.attempt, step.trace.traceparent
        ));
    }
}

/// Puts a span of its own behind each trace.
struct Spans;

impl Tracer for Spans {
    fn begin(&self, given: &TraceContext) -> TraceContext {
        let parent = given.traceparent.as_deref().unwrap_or("root");
        TraceContext { traceparent: Some(format!("{parent}+gate")), ..given.clone() }
    }
}

const ALL: &str = "authenticate,validate,authorize,rate_limit,circuit,inspect,commit,report";

#[tokio::test(start_paused = true)]
async fn each_run_is_shown_once_with_the_stages_that_it_passed() {
    let notes = Arc::new(Notes::default());
    let plan = Plan::new().limits(limits(3, 100)).watched_by(Arc::<Notes>::clone(&notes));
    let world = World::new(plan).await;
    let (_a, _b) = (world.open("a", "i1").await, world.open("b", "i1").await);
    notes.runs.lock().clear();
    let message = world.send("a", "b", r#"{"ssn":"536-22-1234"}"#).await;
    for (target, payload) in [("c", "{}"), ("b", "["), ("b", r#"{"card":"4111 1111 1111 1111"}"#)] {
        world.run(caller("a"), say(target, payload)).await.unwrap_err();
    }
    world.send("a", "b", "{}").await;
    world.run(caller("a"), say("b", "{}")).await.unwrap_err();
    world.store.fail(1, gate::ports::StoreError::Busy, |_| true);
    world.run(caller("b"), say("a", "{}")).await.unwrap_err();
    let runs = notes.runs.lock().clone();
    let shown: Vec<_> = runs.iter().map(|run| run.split_once(' ').unwrap().1).collect();
    assert_eq!(runs[0].split_once(' ').unwrap().0, message.to_string());
    let until = |stage: &str| format!("{}{stage},commit,report", ALL.split(stage).next().unwrap());
    assert_eq!(
        shown,
        [
            format!("message.send a>b DLP_REDACTED - None 21 bytes 1 kinds note {ALL}"),
            format!(
                "message.send a>c AUTHZ_DENIED not_authorized Some(Authorize) 2 bytes 0 kinds note \
                 {}",
                until("authorize")
            ),
            format!(
                "message.send a>b INVALID invalid_json Some(Validate) 1 bytes 0 kinds note {}",
                until("validate")
            ),
            format!(
                "message.send a>b DLP_BLOCKED dlp_blocked Some(Inspect) 30 bytes 1 kinds note {ALL}"
            ),
            format!("message.send a>b ALLOWED - None 2 bytes 0 kinds note {ALL}"),
            format!(
                "message.send a>b RATE_LIMITED rate_limited Some(RateLimit) 2 bytes 0 kinds note \
                 {}",
                until("rate_limit")
            ),
            format!(
                "message.send b>a BACKPRESSURE backpressure Some(Commit) 2 bytes 0 kinds note \
                 {ALL}"
            ),
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn what_happens_to_a_message_is_shown_with_the_trace_of_its_envelope() {
    let notes = Arc::new(Notes::default());
    let plan = Plan::new().watched_by(Arc::<Notes>::clone(&notes)).traced_by(Arc::new(Spans));
    let world = World::new(plan).await;
    let (_a, mut b) = (world.open("a", "i1").await, world.open("b", "i1").await);
    let traceparent = Some("00-given".to_owned());
    let traced = Call {
        trace: TraceContext { traceparent, tracestate: Some("x=1".to_owned()) },
        ..call(caller("a"), say("b", "{}"))
    };
    world.gate.run(traced).await.unwrap();
    let received = one(&mut b);
    assert_eq!(received.envelope["meta"]["traceparent"], "00-given+gate");
    assert_eq!(received.envelope["meta"]["tracestate"], "x=1");
    nack(&b, &received, true).await;
    pass(seconds(2)).await;
    let again = one(&mut b);
    ack(&b, &again).await;
    world.send("a", "b", "{}").await;
    let refused = one(&mut b);
    nack(&b, &refused, false).await;
    drop(b);
    settle_down().await;
    world.send("a", "b", "{}").await;
    pass(seconds(3_700)).await;
    let shown: Vec<_> = notes
        .steps
        .lock()
        .iter()
        .map(|step| {
            let mut words = step.split(' ').map(str::to_owned).collect::<Vec<_>>();
            words.retain(|word| word.len() != 32);
            words.join(" ")
        })
        .collect();
    assert_eq!(
        shown,
        [
            "Delivered a>b attempt 1 trace Some(\"00-given+gate\")",
            "Retried a>b attempt 1 trace Some(\"00-given+gate\")",
            "Delivered a>b attempt 2 trace Some(\"00-given+gate\")",
            "Acknowledged a>b attempt 2 trace Some(\"00-given+gate\")",
            "Delivered a>b attempt 1 trace Some(\"root+gate\")",
            "DeadLettered { code: \"refused\" } a>b attempt 1 trace Some(\"root+gate\")",
            "Expired a>b attempt 0 trace None",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn the_numbers_say_what_happened_and_what_is() {
    let world = World::new(Plan::new()).await;
    let (_a, mut b) = (world.open("a", "i1").await, world.open("b", "i1").await);
    world.send("a", "b", r#"{"ssn":"536-22-1234"}"#).await;
    world.send("a", "b", "{}").await;
    world.run(caller("a"), say("c", "{}")).await.unwrap_err();
    let received = poll(&mut b);
    let levels = world.gate.measures().levels;
    assert_eq!((levels.agents, levels.agents_connected, levels.sessions), (4, 2, 2));
    assert_eq!((levels.in_flight, levels.is_draining), (2, false));
    let bytes: usize = received.iter().map(|one| one.text.len()).sum();
    assert_eq!(levels.in_flight_bytes, bytes);
    ack(&b, &received[0]).await;
    nack(&b, &received[1], true).await;
    pass(seconds(2)).await;
    let again = one(&mut b);
    nack(&b, &again, false).await;
    let reading = world.gate.measures();
    let runs = |event: &str, decision| reading.runs[&(event.to_owned(), decision)];
    assert_eq!(runs("message.send", "ALLOWED"), 1);
    assert_eq!(runs("message.send", "DLP_REDACTED"), 1);
    assert_eq!(runs("message.send", "AUTHZ_DENIED"), 1);
    assert_eq!(runs("session.open", "ALLOWED"), 2);
    assert_eq!(reading.refusals, [("not_authorized".to_owned(), 1)].into());
    assert_eq!(reading.findings, [("ssn".to_owned(), 1)].into());
    assert_eq!((reading.payloads.count(), reading.payloads.sum), (3, 25));
    assert_eq!((reading.delivered, reading.redelivered), (3, 1));
    assert_eq!((reading.acknowledged, reading.retried, reading.expired), (1, 1, 0));
    assert_eq!(reading.dead_letters, [("refused".to_owned(), 1)].into());
    assert_eq!(reading.answers.count(), 2);
    assert_eq!(reading.run.count(), 5);
    let stage = |stage: Stage| reading.stages[stage.index()].count();
    assert_eq!((stage(Stage::Validate), stage(Stage::Inspect), stage(Stage::Commit)), (5, 4, 5));
    assert_eq!(reading.levels.in_flight, 0);
    assert!(!reading.levels.policy_revision.is_empty());
}
