//! A collector that is slow, dead or unwilling costs only what was meant for it.

use std::time::Duration;

use telemetry::{Exporter, Kind, Masker, Place, Span, Worker};
use tokio::time::Instant;

use crate::collector::Collector;
use crate::export::settings;

fn span(n: u64) -> Box<Span> {
    Box::new(Span::new(Place::root(1, n, true), "send", Kind::Internal, (n, n)))
}

#[expect(clippy::disallowed_methods, reason = "it ends with its test")]
async fn closed(statuses: &[u16]) -> (Collector, Exporter) {
    let (collector, url) = Collector::start(statuses).await;
    let (exporter, worker) = Exporter::new(settings(&url), Masker::standard());
    let running = tokio::task::spawn(worker.run());
    exporter.offer(span(1));
    let before = collector.clone();
    let seen = async move {
        while before.posted().len() < statuses.len() {
            tokio::task::yield_now().await;
        }
    };
    // The first batch goes out by itself, a second after its first span.
    tokio::time::timeout(Duration::from_secs(20), seen).await.unwrap();
    exporter.close();
    running.await.unwrap();
    (collector, exporter)
}

#[tokio::test]
async fn a_busy_collector_is_asked_again() {
    let (collector, exporter) = closed(&[503, 429, 200]).await;
    assert_eq!((collector.posted().len(), collector.connections()), (3, 1));
    assert_eq!((exporter.exported(), exporter.dropped()), (1, 0));
}

#[tokio::test]
async fn an_unwilling_collector_is_not_asked_again_and_the_loss_is_counted() {
    let (collector, exporter) = closed(&[400]).await;
    assert_eq!(collector.posted().len(), 1);
    assert_eq!((exporter.exported(), exporter.dropped()), (0, 1));
}

#[expect(clippy::disallowed_methods, reason = "it ends with its test")]
#[tokio::test]
async fn a_collector_that_never_answers_holds_nobody_up() {
    let (collector, url) = Collector::start(&[0; 64]).await;
    let (exporter, worker) = Exporter::new(settings(&url), Masker::standard());
    let running = tokio::task::spawn(worker.run());
    let begun = Instant::now();
    for n in 0..100_000 {
        exporter.offer(span(n));
    }
    // Far more than fits into the queue, in far less than one request may take.
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert!(exporter.dropped() > 90_000, "{}", exporter.dropped());
    while collector.posted().is_empty() {
        tokio::task::yield_now().await;
    }
    exporter.close();
    let closing = Instant::now();
    running.await.unwrap();
    let took = closing.elapsed();
    assert!(took < Worker::CLOSE_MAX + Duration::from_secs(2), "{took:?}");
    assert_eq!(exporter.exported(), 0);
}

#[tokio::test]
async fn nobody_listening_is_no_harm() {
    let settings = settings("http://127.0.0.1:9");
    let (exporter, worker) = Exporter::new(settings, Masker::standard());
    exporter.offer(span(1));
    exporter.close();
    Box::pin(worker.run()).await;
    assert_eq!((exporter.exported(), exporter.dropped()), (0, 1));
}

#[expect(clippy::disallowed_methods, reason = "it ends with its test")]
#[tokio::test]
async fn a_connection_that_was_closed_meanwhile_loses_nothing() {
    let (collector, url) = Collector::start(&[]).await;
    let (exporter, worker) = Exporter::new(settings(&url), Masker::standard());
    let running = tokio::task::spawn(worker.run());
    // The second goes by the connection of the first, which then is closed behind the answer.
    for (count, connections) in [(1, 1), (2, 1), (3, 2), (4, 3)] {
        if count == 2 {
            collector.part();
        }
        exporter.offer(span(count));
        let exported = async {
            while exporter.exported() < count {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), exported).await.unwrap();
        assert_eq!(collector.connections(), connections, "for {count} requests");
    }
    // Each came once: it was seen before anything was sent that nobody reads there.
    assert_eq!((collector.posted().len(), exporter.dropped()), (4, 0));
    exporter.close();
    running.await.unwrap();
}

#[test]
fn nobody_waits_for_an_exporter_that_does_not_run() {
    // No runtime, no worker: whoever offers has nothing to wait for, however much waits already.
    let (exporter, _worker) = Exporter::new(settings("http://127.0.0.1:9"), Masker::standard());
    for n in 0..10_000 {
        exporter.offer(span(n));
    }
    assert!(exporter.dropped() > 5_000, "{}", exporter.dropped());
}
