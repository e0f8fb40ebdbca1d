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
