//! Places in traces: whose go on, which are kept, and that spans do not share one.

use std::collections::BTreeSet;

use super::*;

fn spans(ratio: f64) -> Arc<Spans> {
    let settings = Settings {
        endpoint: ::telemetry::Endpoint::parse("http://127.0.0.1:9").unwrap(),
        headers: ::telemetry::Headers::default(),
        sample_ratio: ratio,
        metrics_interval: None,
        service_name: String::new(),
        service_namespace: String::new(),
        environment: String::new(),
        instance: String::new(),
        version: "0",
    };
    let dlp = inspect::Dlp::compile(&inspect::DlpSpec::default()).unwrap();
    Spans::new(&settings, dlp).0
}

#[test]
fn the_callers_trace_goes_on_with_a_span_of_the_gate() {
    let given = TraceContext {
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
        tracestate: Some("a=1".to_owned()),
    };
    let (before, after) = (place(&given).unwrap(), spans(0.0).begin(&given));
    let gate = place(&after).unwrap();
    assert_eq!(gate.trace_id(), before.trace_id());
    assert_ne!(gate.span_id(), before.span_id());
    assert!(gate.is_sampled());
    assert_eq!(after.tracestate.as_deref(), Some("a=1"));
}

#[test]
fn a_trace_that_begins_here_is_kept_or_not_and_the_receiver_hears_which() {
    for (ratio, is_kept) in [(0.0, false), (1.0, true)] {
        let state = TraceContext { traceparent: None, tracestate: Some("a=1".to_owned()) };
        let begun = spans(ratio).begin(&state);
        assert_eq!(place(&begun).unwrap().is_sampled(), is_kept);
        assert_eq!(kept(&begun).is_some(), is_kept);
        assert_eq!(begun.tracestate, None);
    }
}

#[test]
fn spans_below_one_have_places_of_their_own_and_the_same_each_time() {
    let place = Place::root(1, 2, true);
    let numbers = || (0..8).chain((0..50).map(|n| 256 + n)).chain((0..50).map(|n| (1 << 40) + n));
    let ids =
        |place: Place| -> Vec<u64> { numbers().map(|n| below(&place, n).span_id()).collect() };
    let (once, again) = (ids(place), ids(place));
    assert_eq!(once, again);
    let mut all: BTreeSet<u64> = once.iter().copied().collect();
    assert!(!all.contains(&place.span_id()) && !all.contains(&0));
    all.extend(ids(Place::root(1, 3, true)));
    assert_eq!(all.len(), 2 * 108);
}

#[test]
fn every_method_of_the_contracts_but_the_sessions_has_its_event() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../proto");
    let mut contracts = BTreeSet::new();
    for (file, service) in [
        ("mas/runtime/v1/runtime.proto", "mas.runtime.v1.RuntimeService"),
        ("palisade/bus/v1/bus.proto", "palisade.bus.v1.BusService"),
        ("palisade/admin/v1/admin.proto", "palisade.admin.v1.AdminService"),
    ] {
        let text = std::fs::read_to_string(format!("{root}/{file}")).unwrap();
        let methods = text.lines().filter_map(|line| line.trim().strip_prefix("rpc "));
        let names = methods.filter_map(|line| line.split('(').next());
        contracts.extend(names.map(|name| format!("{service}/{name}")));
    }
    // Both open sessions, whose event is the same.
    for session in ["mas.runtime.v1.RuntimeService/Transport", "palisade.bus.v1.BusService/Session"]
    {
        assert!(contracts.remove(session), "{session}");
    }
    let told: BTreeSet<_> = run::METHODS.iter().map(|(_, method)| (*method).to_owned()).collect();
    assert_eq!(told, contracts);
    let events: BTreeSet<_> = run::METHODS.iter().map(|(event, _)| event).collect();
    assert_eq!(events.len(), run::METHODS.len());
}
