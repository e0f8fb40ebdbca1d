//! `palisade demo` and `palisade bench`, as scripts use them.

use crate::program::{json, run, said};

#[test]
fn the_demo_shows_every_decision_and_a_verified_log() {
    let folder = tempfile::tempdir().unwrap();
    let output = run(folder.path(), &["demo", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{:?}", said(&output));
    let report = json(&output);
    assert_eq!(report["ok"], true, "{report}");
    for decision in [
        "ALLOWED",
        "ALERT",
        "DLP_REDACTED",
        "DLP_ENCRYPTED",
        "DLP_BLOCKED",
        "RATE_LIMITED",
        "CIRCUIT_OPEN",
        "AUTHZ_DENIED",
    ] {
        assert!(report["decisions"][decision].as_u64() >= Some(1), "{decision}: {report}");
    }
    assert_eq!(report["audit"]["verified"], true, "{report}");
    assert!(report["audit"]["entries"].as_u64() > Some(16), "{report}");
    assert!(report["delivered"].as_u64() >= Some(10), "{report}");
    // Nothing is left behind in the folder where it was started.
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn the_bench_measures_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let args = ["bench", "pipeline", "--json", "--seconds", "1", "--sessions", "1,5"];
    let output = run(folder.path(), &args);
    assert_eq!(output.status.code(), Some(0), "{:?}", said(&output));
    let report = json(&output);
    assert_eq!(report["ok"], true, "{report}");
    let runs = report["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 2);
    for run in runs {
        assert!(run["messages"].as_u64() > Some(0), "{run}");
        assert_eq!(run["undelivered"], 0, "{run}");
        assert_eq!(run["accepted"], run["audited"], "{run}");
        assert!(run["server_peak_rss_bytes"].as_u64() > Some(1_000_000), "{run}");
        assert!(run["send_ms"]["p99"].as_f64() >= run["send_ms"]["p50"].as_f64(), "{run}");
    }
}

#[test]
fn a_bench_of_a_server_that_is_not_there_says_so() {
    let folder = tempfile::tempdir().unwrap();
    for words in ["cert ca --dir .", "cert agent a --dir ."] {
        let args: Vec<&str> = words.split(' ').collect();
        run(folder.path(), &args);
    }
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let addr = port.to_string();
    let files = ["--ca", "ca.pem", "--cert", "a.pem", "--key", "a.key"];
    let args = ["bench", "pipeline", "--addr", &addr];
    let args: Vec<&str> = args.into_iter().chain(files).collect();
    let (code, _, errors) = said(&run(folder.path(), &args));
    assert_eq!(code, 1);
    assert!(errors.contains(&format!("cannot connect to {addr}")), "{errors}");
}
