//! Spans of what a client does: what a tracer is told, and what goes on with messages.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use palisade_client::{
    Ending, Error, HandlerError, MessageId, Operation, Outgoing, TraceContext, Tracer, Underway,
    Work,
};
use serde_json::json;
use tokio::task::JoinSet;
use tracing_subscriber::fmt::MakeWriter;

use crate::gate::{Gate, Heard};

/// One span as the tracer saw it.
#[derive(Clone, Debug, PartialEq)]
struct Seen {
    what: (Operation, String),
    parent: Option<String>,
    own: String,
    ending: Option<Result<bool, String>>,
}

#[derive(Clone, Debug, Default)]
struct Recorder(Arc<Mutex<Vec<Seen>>>);

#[derive(Debug)]
struct Recording(Recorder, usize);

impl Tracer for Recorder {
    fn begin(&self, work: &Work<'_>, parent: Option<&TraceContext>) -> Box<dyn Underway> {
        let mut seen = self.0.lock().unwrap();
        let at = seen.len();
        seen.push(Seen {
            what: (work.operation, format!("{}>{}", work.agent, work.other)),
            parent: parent.map(|parent| parent.traceparent().to_owned()),
            own: format!("00-{:032x}-{:016x}-01", 7, at + 1),
            ending: None,
        });
        Box::new(Recording(self.clone(), at))
    }
}

impl Underway for Recording {
    fn trace(&self) -> Option<TraceContext> {
        TraceContext::new(&self.0.0.lock().unwrap()[self.1].own, None).ok()
    }

    fn end(self: Box<Self>, ending: Ending<'_>) {
        let ending = match ending {
            Ending::Done(id) => Ok(id.is_some()),
            Ending::Failed { code, .. } => Err(code.to_owned()),
            _ => panic!("{ending:?}"),
        };
        self.0.0.lock().unwrap()[self.1].ending = Some(ending);
    }
}

impl Recorder {
    fn find(&self, operation: Operation, whom: &str) -> Seen {
        let seen = self.0.lock().unwrap();
        let found = seen.iter().find(|seen| seen.what == (operation, whom.to_owned()));
        found.unwrap_or_else(|| panic!("no {operation:?} {whom} in {seen:?}")).clone()
    }
}

async fn traced(gate: &Gate, agent: &str, tracer: &Recorder) -> palisade_client::Client {
    let mut options = gate.site.options(agent);
    options.tracer = Some(Arc::new(tracer.clone()));
    gate.connect_with(options).await
}

#[tokio::test]
async fn each_span_follows_the_one_that_led_to_it() {
    let (gate, tracer) = (Gate::start().await, Recorder::default());
    let alice = traced(&gate, "alice", &tracer).await;
    let bob = traced(&gate, "bob", &tracer).await;
    let mut to_alice = alice.messages();
    let mut tasks = JoinSet::new();
    tasks.spawn({
        let sender = bob.clone();
        async move {
            bob.listen(move |message| {
                let sender = sender.clone();
                async move {
                    message.reply("answer", &json!({})).await.unwrap();
                    sender.send("alice", "on", &json!({})).await.unwrap();
                    Err(HandlerError::fatal("no"))
                }
            })
            .await
        }
    });
    alice.request("bob", "ask", &json!({}), Duration::from_secs(20)).await.unwrap();
    let incoming = to_alice.next().await.unwrap();
    let handed_on = incoming.message.trace().unwrap().traceparent().to_owned();
    incoming.ack().await.unwrap();
    // The handler's end is told to the gate, and the span has ended by then.
    while tracer.find(Operation::Process, "bob>alice").ending.is_none() {
        tokio::task::yield_now().await;
    }

    let asked = tracer.find(Operation::Request, "alice>bob");
    assert_eq!((&asked.parent, &asked.ending), (&None, &Some(Ok(false))));
    let handled = tracer.find(Operation::Process, "bob>alice");
    assert_eq!(handled.parent.as_ref(), Some(&asked.own));
    assert_eq!(handled.ending, Some(Err("refused".to_owned())));
    let replied = tracer.find(Operation::Reply, "bob>");
    assert_eq!(replied.parent.as_ref(), Some(&handled.own));
    assert_eq!(replied.ending, Some(Ok(true)));
    let sent = tracer.find(Operation::Send, "bob>alice");
    assert_eq!(sent.parent.as_ref(), Some(&handled.own));
    let got = tracer.find(Operation::Process, "alice>bob");
    assert_eq!((got.parent.as_ref(), &got.own), (Some(&sent.own), &handed_on));
    assert_eq!(got.ending, Some(Ok(false)));
}

#[tokio::test]
async fn a_span_ends_with_why_nothing_came_of_it() {
    let (gate, tracer) = (Gate::start().await, Recorder::default());
    let alice = traced(&gate, "alice", &tracer).await;
    gate.refuse_call(tonic::Status::permission_denied("no"));
    alice.send("bob", "note", &json!({})).await.unwrap_err();
    let sent = tracer.find(Operation::Send, "alice>bob");
    assert!(matches!(sent.ending, Some(Err(_))), "{sent:?}");
    let question = json!({});
    let asking = alice.request("bob", "ask", &question, Duration::from_secs(60));
    // Whoever waits for the answer goes away.
    assert!(tokio::time::timeout(Duration::from_millis(50), asking).await.is_err());
    let asked = tracer.find(Operation::Request, "alice>bob");
    assert_eq!(asked.ending, Some(Err("dropped".to_owned())));
}

#[tokio::test]
async fn the_span_of_what_is_published_ends_with_its_outcome() {
    let (gate, tracer) = (Gate::start().await, Recorder::default());
    let alice = traced(&gate, "alice", &tracer).await;
    let ended = async |count: usize| {
        loop {
            let seen = tracer.0.lock().unwrap().clone();
            if seen.len() == count && seen.iter().all(|seen| seen.ending.is_some()) {
                return seen.last().unwrap().ending.clone().unwrap();
            }
            tokio::task::yield_now().await;
        }
    };
    // Nobody waits for the outcome but the span.
    drop(alice.publish(Outgoing::json("bob", "note", "{}")).await.unwrap());
    assert_eq!(ended(1).await, Ok(true), "with its id");
    gate.refuse_call(tonic::Status::permission_denied("no"));
    let mut sent = alice.publish(Outgoing::json("bob", "note", "{}")).await.unwrap();
    let refused = sent.accepted().await.unwrap_err();
    assert_eq!(ended(2).await, Err(refused.code().to_owned()));
}

#[tokio::test]
async fn calls_about_no_message_have_spans_of_their_own_and_take_them_along() {
    let (mut gate, tracer) = (Gate::start().await, Recorder::default());
    let alice = traced(&gate, "alice", &tracer).await;
    let above = format!("00-{:032x}-{:016x}-01", 7, 99);
    let alice = alice.traced(TraceContext::new(&above, None).unwrap());
    alice.discover(&[]).await.unwrap();
    alice.state().await.unwrap();
    alice.update_state([("k".to_owned(), "v".to_owned())]).await.unwrap();
    alice.status(&MessageId::new("m1")).await.unwrap();
    gate.refuse_call(tonic::Status::resource_exhausted("rate_limited"));
    let refused = alice.reset_state().await.unwrap_err();
    assert!(matches!(refused, Error::Refused(_)), "{refused}");
    let cases = [
        (Operation::Discover, "discover", Ok(false)),
        (Operation::ReadState, "get_state", Ok(false)),
        (Operation::UpdateState, "update_state", Ok(false)),
        (Operation::Status, "message_status", Ok(false)),
        (Operation::ResetState, "reset_state", Err("rate_limited".to_owned())),
    ];
    for (operation, name, ending) in cases {
        let seen = tracer.find(operation, "alice>");
        assert_eq!((&seen.parent, &seen.ending), (&Some(above.clone()), &Some(ending)), "{name}");
        let heard = gate.hears(|heard| matches!(heard, Heard::Call(..))).await;
        assert_eq!(heard, Heard::Call(name, Some(seen.own)));
    }
}

#[tokio::test]
async fn receipts_that_are_asked_for_make_no_spans() {
    let (gate, tracer) = (Gate::start().await, Recorder::default());
    let alice = traced(&gate, "alice", &tracer).await;
    let sent = alice.publish(Outgoing::json("bob", "note", "{}")).await.unwrap();
    sent.acknowledged().await.unwrap();
    let operations: Vec<_> = tracer.0.lock().unwrap().iter().map(|seen| seen.what.0).collect();
    assert_eq!(operations, [Operation::Send]);
}

/// Keeps what is logged.
#[derive(Clone, Debug, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn what_a_handler_logs_carries_the_trace_of_its_message() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(log.clone()).finish();
    // Of this thread, which is the only one that the handler runs on.
    let _logging = tracing::subscriber::set_default(subscriber);
    let (gate, tracer) = (Gate::start().await, Recorder::default());
    let alice = traced(&gate, "alice", &tracer).await;
    let bob = traced(&gate, "bob", &tracer).await;
    let mut tasks = JoinSet::new();
    tasks.spawn({
        let bob = bob.clone();
        async move {
            bob.listen(|_message| async {
                tokio::task::yield_now().await;
                tracing::info!("at work");
                Ok(())
            })
            .await
        }
    });
    tracing::info!("before");
    alice.send("bob", "note", &json!({})).await.unwrap();
    while !String::from_utf8_lossy(&log.0.lock().unwrap()).contains("at work") {
        tokio::task::yield_now().await;
    }
    let own = tracer.find(Operation::Process, "bob>alice").own;
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let line = |about: &str| log.lines().find(|line| line.contains(about)).unwrap().to_owned();
    for id in own.split('-').skip(1).take(2) {
        assert!(line("at work").contains(id), "{log}");
        assert!(!line("before").contains(id), "{log}");
    }
}
