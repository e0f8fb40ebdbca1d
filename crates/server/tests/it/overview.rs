//! Operators look on: pictures of the gate and the way of a message, over real TLS.

use std::time::Duration;

use palisade_client::admin::{OverviewRequest, TraceMessageRequest, TraceMessageResponse};
use palisade_client::{Error, HandlerError, Operator};
use serde_json::json;

use super::operations;
use super::site::{Engine, Plan, Site, within};

fn looking(interval_ms: u32) -> OverviewRequest {
    OverviewRequest { interval_ms, rows_max: 0 }
}

async fn boss(site: &Site) -> Operator {
    Operator::connect(site.options("boss")).await.unwrap()
}

async fn trace(operator: &Operator, id: &str) -> Result<TraceMessageResponse, Error> {
    let request = TraceMessageRequest { message_id: id.to_owned(), records_max: 0 };
    operator.trace(request).await
}

fn code(error: &Error) -> &str {
    error.code()
}

fn names(way: &TraceMessageResponse) -> Vec<&str> {
    way.steps.iter().map(|step| step.step.as_str()).collect()
}

#[tokio::test]
async fn an_operator_sees_agents_messages_decisions_times_and_refusals() {
    let site = Site::open(Plan::default()).await;
    let (a, b) = (site.connect("a").await.unwrap(), site.connect("b").await.unwrap());
    let operator = boss(&site).await;
    let mut pictures = operator.overview(looking(100)).await.unwrap();
    let first = pictures.next().await.unwrap();
    assert!(first.ready, "{first:?}");
    assert_eq!((first.agents_registered, first.agents_connected, first.sessions_open), (2, 2, 2));
    a.send("b", "note", &json!({"n": 1})).await.unwrap();
    let held = b.messages().next().await.unwrap();
    let refused = a.send("nobody", "note", &json!({})).await.unwrap_err();
    assert_eq!(code(&refused), "not_authorized");
    let later = within("a picture with both", async {
        loop {
            let picture = pictures.next().await.unwrap();
            if !picture.refusals.is_empty() && picture.total.unwrap().delivered == 1 {
                return picture;
            }
        }
    })
    .await;
    assert!(later.at_ms > first.at_ms && later.period_ms < later.up_ms, "{later:?}");
    let total = later.total.unwrap();
    assert_eq!((total.accepted, total.delivered, total.acknowledged), (1, 1, 0));
    assert_eq!((total.refused, total.bytes_in > 0, total.bytes_out > 0), (1, true, true));
    let agent = later.agents.iter().find(|agent| agent.agent_id == "b").unwrap();
    assert_eq!((agent.sessions, agent.in_flight), (1, 1));
    let session = later.sessions.iter().find(|session| session.agent_id == "b").unwrap();
    assert_eq!((session.in_flight, session.replies_only), (1, false));
    assert!(session.in_flight_bytes > 0 && session.since_ms <= later.at_ms, "{session:?}");
    let denied = later.decisions.iter().find(|one| one.decision == "AUTHZ_DENIED").unwrap();
    assert_eq!(denied.total, 1);
    let refusal = &later.refusals[0];
    assert_eq!((&*refusal.caller_id, &*refusal.target_id), ("a", "nobody"));
    assert_eq!((&*refusal.code, &*refusal.decision), ("not_authorized", "AUTHZ_DENIED"));
    assert_eq!(refusal.reason, "no rule allows a to send to nobody");
    held.ack().await.unwrap();
    let quiet = within("a picture without work", async {
        loop {
            let picture = pictures.next().await.unwrap();
            if picture.period.unwrap().accepted == 0 && picture.total.unwrap().acknowledged == 1 {
                return picture;
            }
        }
    })
    .await;
    assert_eq!(quiet.agents.iter().map(|agent| agent.in_flight).sum::<u64>(), 0);
    assert!(quiet.store.unwrap().records >= 5, "{quiet:?}");
    drop(pictures);
    // One record stands for all pictures.
    let records = site.records().await;
    let looked = records.iter().filter(|record| record.event_type == "admin.overview");
    assert_eq!(looked.count(), 1);
}

#[tokio::test]
async fn a_circuit_is_seen_while_it_is_open_and_while_it_tries_again() {
    let engine = Engine::Embedded;
    let more = "gateway: { circuit_breaker: { failure_threshold: 2, timeout_seconds: 0.2 } }";
    let plan = Plan { engine, more, server: operations::LISTEN, ..Plan::default() };
    let site = Site::open(plan).await;
    let (a, b) = (site.connect("a").await.unwrap(), site.connect("b").await.unwrap());
    let operator = boss(&site).await;
    let mut pictures = operator.overview(looking(100)).await.unwrap();
    assert!(pictures.next().await.unwrap().circuits.is_empty());
    for _ in 0..2 {
        a.send("b", "note", &json!({})).await.unwrap();
        let incoming = b.messages().next().await.unwrap();
        incoming.nack(HandlerError::fatal("as a test")).await.unwrap();
    }
    let mut seen = async |state: &str| {
        within(state, async {
            loop {
                let picture = pictures.next().await.unwrap();
                if picture.circuits.iter().any(|circuit| circuit.state == state) {
                    return picture;
                }
            }
        })
        .await
    };
    let measured = async || {
        let address = site.running.operations().unwrap();
        let (_, _, text) = operations::ask(address, "GET /metrics").await;
        let samples = operations::samples(&text);
        ["open", "half_open"]
            .map(|state| samples[&format!("palisade_circuits{{state=\"{state}\"}}")])
    };
    let open = seen("open").await;
    let [circuit] = &open.circuits[..] else { panic!("{open:?}") };
    assert_eq!((&*circuit.sender_id, &*circuit.target_id), ("a", "b"));
    assert_eq!((open.circuits_open, circuit.failures), (1, 2));
    assert!(circuit.since_ms <= open.at_ms, "{open:?}");
    assert_eq!(measured().await, [1.0, 0.0]);
    // Once its time is over the next message tries whether the target is well again.
    within("a message that tries", async {
        while a.send("b", "note", &json!({})).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    assert_eq!(seen("half_open").await.circuits_open, 1);
    assert_eq!(measured().await, [0.0, 1.0]);
}

#[tokio::test]
async fn times_of_the_first_picture_are_since_the_start_and_name_each_stage() {
    let site = Site::open(Plan::default()).await;
    let (a, _b) = (site.connect("a").await.unwrap(), site.connect("b").await.unwrap());
    a.send("b", "note", &json!({})).await.unwrap();
    let operator = boss(&site).await;
    let first = operator.overview(looking(0)).await.unwrap().next().await.unwrap();
    let stages: Vec<_> = first.latencies.iter().map(|latency| latency.stage.as_str()).collect();
    let expected = [
        "authenticate",
        "validate",
        "authorize",
        "rate_limit",
        "circuit",
        "inspect",
        "commit",
        "total",
    ];
    for stage in expected {
        assert!(stages.contains(&stage), "{stage}: {stages:?}");
    }
    let total = first.latencies.iter().find(|latency| latency.stage == "total").unwrap();
    assert!(total.count >= 3 && total.p50_us > 0.0 && total.p50_us <= total.p99_us, "{total:?}");
    assert_eq!(first.period_ms, first.up_ms);
}

#[tokio::test]
async fn only_operators_look_and_only_so_many_and_at_a_bounded_rhythm() {
    let site = Site::open(Plan::default()).await;
    let agent = Operator::connect(site.options("a")).await.unwrap();
    assert_eq!(code(&agent.overview(looking(0)).await.unwrap_err()), "wrong_principal");
    let id = "0".repeat(32);
    assert_eq!(code(&trace(&agent, &id).await.unwrap_err()), "wrong_principal");
    let operator = boss(&site).await;
    for interval in [99, 60_001] {
        let refused = operator.overview(looking(interval)).await.unwrap_err();
        assert_eq!(code(&refused), "invalid_field");
    }
    let mut looks = Vec::new();
    for _ in 0..16 {
        looks.push(operator.overview(looking(60_000)).await.unwrap());
    }
    let refused = operator.overview(looking(0)).await.unwrap_err();
    assert_eq!(code(&refused), "backpressure");
    looks.clear();
    // The gate hears of it when it looks at the connection next.
    within("room again", async {
        while operator.overview(looking(0)).await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    assert_eq!(site.recorded("admin.malformed").await.reason.as_deref(), Some("invalid_field"));
}

#[tokio::test]
async fn lists_are_cut_to_the_rows_that_are_asked_for() {
    let site = Site::open(Plan::default()).await;
    let _sessions = (site.connect("a").await.unwrap(), site.connect("b").await.unwrap());
    let operator = boss(&site).await;
    let request = OverviewRequest { interval_ms: 0, rows_max: 1 };
    let picture = operator.overview(request).await.unwrap().next().await.unwrap();
    assert_eq!((picture.agents.len(), picture.sessions.len()), (1, 1));
    assert_eq!((picture.agents_registered, picture.sessions_open), (2, 2));
}

#[tokio::test]
async fn the_way_of_a_message_has_its_stages_its_hand_over_and_its_answer() {
    let site = Site::open(Plan::default()).await;
    let (a, b) = (site.connect("a").await.unwrap(), site.connect("b").await.unwrap());
    let id = a.send("b", "note", &json!({"n": 1})).await.unwrap().to_string();
    let operator = boss(&site).await;
    b.messages().next().await.unwrap().ack().await.unwrap();
    let way = within("the acknowledgement", async {
        loop {
            let way = trace(&operator, &id).await.unwrap();
            if way.state == "acknowledged" && names(&way).contains(&"acknowledged") {
                return way;
            }
        }
    })
    .await;
    assert_eq!((&*way.sender_id, &*way.target_id), ("a", "b"));
    assert_eq!((&*way.event_type, &*way.message_type), ("message.send", "note"));
    assert_eq!((&*way.decision, &*way.code, way.attempts), ("ALLOWED", "", 1));
    assert!(way.stages_known && !way.decided_by.is_empty() && !way.policy_revision.is_empty());
    let expected =
        ["authenticate", "validate", "authorize", "rate_limit", "circuit", "inspect", "commit"];
    let steps = names(&way);
    assert_eq!(steps[..7], expected, "{way:?}");
    let place = |name: &str| steps.iter().position(|step| *step == name).unwrap();
    assert!(place("message.send") > place("commit"), "{steps:?}");
    assert!(place("delivered") < place("acknowledged"), "{steps:?}");
    let commit = &way.steps[place("commit")];
    assert!(commit.took_ns.unwrap() > 0 && commit.outcome == "passed", "{commit:?}");
    let answer = &way.steps[place("acknowledged")];
    assert_eq!((answer.attempt, answer.instance_id.is_empty()), (1, false));
    assert!(way.steps[place("message.send")].record > 0, "{way:?}");
    assert!(way.steps.is_sorted_by_key(|step| step.at_us), "{way:?}");
}

#[tokio::test]
async fn the_way_of_a_refused_message_ends_at_the_stage_that_refused() {
    let site = Site::open(Plan::default()).await;
    let a = site.connect("a").await.unwrap();
    a.send("nobody", "note", &json!({})).await.unwrap_err();
    let id = site.recorded("denied").await.request_id.into_owned();
    let operator = boss(&site).await;
    let way = trace(&operator, &id).await.unwrap();
    assert_eq!((&*way.decision, &*way.code), ("AUTHZ_DENIED", "denied"));
    assert_eq!(way.decided_by, "no rule allows a to send to nobody");
    assert_eq!((&*way.state, way.attempts), ("", 0));
    let refused: Vec<_> = way.steps.iter().filter(|step| step.outcome == "refused").collect();
    assert_eq!(refused.len(), 1, "{way:?}");
    assert_eq!(refused[0].step, "authorize");
    assert!(!names(&way).contains(&"inspect"), "{way:?}");
}

#[tokio::test]
async fn without_memory_the_records_still_tell_the_way() {
    let more = "delivery: { trace_bytes_max: 0 }";
    let site = Site::open(Plan { more, ..Plan::default() }).await;
    let (a, b) = (site.connect("a").await.unwrap(), site.connect("b").await.unwrap());
    let id = a.send("b", "note", &json!({})).await.unwrap().to_string();
    let incoming = b.messages().next().await.unwrap();
    incoming.nack(HandlerError::fatal("cannot")).await.unwrap();
    site.recorded("dead_letter").await;
    let operator = boss(&site).await;
    let way = trace(&operator, &id).await.unwrap();
    assert!(!way.stages_known, "{way:?}");
    assert_eq!(names(&way), ["message.send", "dead_letter"]);
    assert_eq!((&*way.state, &*way.decision), ("dead_lettered", "ALLOWED"));
    let request = TraceMessageRequest { message_id: id, records_max: 1 };
    let short = operator.trace(request).await.unwrap();
    assert_eq!((names(&short), short.searched_from), (Vec::new(), short.searched_to));
    for unknown in ["0".repeat(32), "x".to_owned(), String::new()] {
        assert_eq!(code(&trace(&operator, &unknown).await.unwrap_err()), "not_found");
    }
    let asked = site.records().await;
    let asked = asked.iter().filter(|record| record.event_type == "admin.trace_message");
    assert_eq!(asked.count(), 5);
}

#[tokio::test]
async fn a_stream_of_pictures_ends_with_its_reason_when_the_server_stops() {
    let site = Site::open(Plan::default()).await;
    let operator = boss(&site).await;
    let mut pictures = operator.overview(looking(60_000)).await.unwrap();
    pictures.next().await.unwrap();
    let (ended, ()) = tokio::join!(pictures.next(), site.running.stop());
    assert_eq!(code(&ended.unwrap_err()), "draining");
}
