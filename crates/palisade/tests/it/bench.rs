//! The benches: that they measure what they say, and lose nothing. Their figures are not judged
//! here.

use crate::program::{json, run, said};

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

#[test]
fn the_parts_of_the_way_are_timed_each_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    for stage in ["parse", "record", "stored-batch"] {
        let output = run(folder.path(), &["bench", "stages", "--json", "--only", stage]);
        let report = json(&output);
        let stages = report["stages"].as_array().unwrap();
        assert_eq!(stages.len(), 1, "{report}");
        assert_eq!(stages[0]["stage"], stage, "{report}");
        let (min, max) = (stages[0]["ns"]["min"].as_f64(), stages[0]["ns"]["max"].as_f64());
        assert!(min > Some(0.0) && min <= max, "{report}");
    }
    let counted = ["bench", "stages", "--json", "--only", "way", "--count", "3"];
    assert!(json(&run(folder.path(), &counted))["stages"][0]["ns"].is_null());
    let (code, _, errors) = said(&run(folder.path(), &["bench", "stages", "--count", "3"]));
    assert_eq!(code, 2, "{errors}");
}

#[test]
fn a_comparison_without_its_peer_says_what_is_missing_and_how_to_get_it() {
    let folder = tempfile::tempdir().unwrap();
    let given = ["bench", "compare", "nats", "--json", "--nats-server", "no-such-file"];
    let output = run(folder.path(), &given);
    assert_eq!(output.status.code(), Some(2), "{:?}", said(&output));
    assert_eq!(json(&output)["error"]["code"], "peer_missing");
    let mut command = crate::program::command(folder.path(), &["bench", "compare", "nats"]);
    let (code, _, errors) = said(&command.env("PATH", folder.path()).output().unwrap());
    assert_eq!(code, 1);
    assert!(errors.contains("scripts/test.sh") && errors.contains("--nats-server"), "{errors}");
}

#[test]
fn a_comparison_with_a_given_server_sets_ours_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().to_str().unwrap();
    for words in ["cert ca --dir", "cert server --dir", "cert agent echo --dir"] {
        let args: Vec<&str> = words.split(' ').chain([dir]).collect();
        assert_eq!(run(folder.path(), &args).status.code(), Some(0), "{words}");
    }
    let configuration = "server:\n  listen: 127.0.0.1:0\n  tls: { cert: server.pem, key: \
        server.key, client_ca: ca.pem }\ngateway:\n  rate_limit: { per_minute: 1000000000, \
        per_hour: 1000000000 }\nagents:\n  echo: { allow: [echo] }\n";
    std::fs::write(folder.path().join("palisade.yaml"), configuration).unwrap();
    let gate = crate::program::Running::start(folder.path(), &["serve"]);
    let args = [
        "bench",
        "compare",
        "mas",
        "--json",
        "--rounds",
        "1",
        "--seconds",
        "1",
        "--sessions",
        "2",
        "--in-flight",
        "4",
        "--addr",
        &gate.addr,
        "--ca",
        "ca.pem",
        "--cert",
        "echo.pem",
        "--key",
        "echo.key",
        "--server-pid",
        &gate.pid().to_string(),
    ];
    // It is set beside one of its own kind, whose process it is told or not.
    for (args, is_told) in [(&args[..], true), (&args[..args.len() - 2], false)] {
        let output = run(folder.path(), args);
        assert_eq!(output.status.code(), Some(0), "{:?}", said(&output));
        let report = json(&output);
        let ratio = &report["mas_unary"];
        let median = ratio["throughput_ratio"]["median"].as_f64().unwrap();
        assert!(median > 0.1 && median < 10.0, "{report}");
        assert_eq!(ratio["cpu_ratio"]["median"].as_f64() > Some(0.0), is_told, "{report}");
    }
    assert_eq!(gate.stop(), 0);
}

#[test]
fn what_telemetry_costs_is_set_beside_a_server_without_it() {
    let folder = tempfile::tempdir().unwrap();
    let line = "bench compare telemetry --json --rounds 1 --seconds 1 --sessions 2 --in-flight 4";
    let args: Vec<&str> = line.split(' ').collect();
    // It fails by itself if a collector that lives gets nothing, or one that is dead something.
    let output = run(folder.path(), &args);
    assert_eq!(output.status.code(), Some(0), "{:?}", said(&output));
    let report = json(&output);
    assert_eq!(report["ok"], true, "{report}");
    for side in ["none_kept", "all_kept", "dead_collector"] {
        for ratio in ["cpu_ratio", "throughput_ratio"] {
            assert!(report[side][ratio]["median"].as_f64() > Some(0.0), "{side}: {report}");
        }
    }
}

#[test]
fn inspection_and_policy_are_timed_by_size() {
    let folder = tempfile::tempdir().unwrap();
    for part in ["inspect", "policy"] {
        let output = run(folder.path(), &["bench", part, "--json"]);
        assert_eq!(output.status.code(), Some(0), "{:?}", said(&output));
        let report = json(&output);
        let rows = report["rows"].as_array().unwrap();
        assert!(rows.len() >= 4, "{report}");
        for row in rows {
            let times = row.as_object().unwrap().iter().filter(|(name, _)| name.ends_with("_ns"));
            assert!(times.map(|(_, ns)| ns["median"].as_f64()).all(|ns| ns > Some(0.0)), "{row}");
        }
    }
}

#[test]
fn the_questions_of_scale_are_answered_with_what_was_measured() {
    let folder = tempfile::tempdir().unwrap();
    let ask = |only: &str| {
        let args = ["bench", "scale", "--json", "--divide", "250", "--rounds", "1"];
        let short = ["--seconds", "0.2", "--only", only];
        json(&run(folder.path(), &[&args[..], &short].concat()))
    };
    // Most of the time they wait, so they are asked side by side.
    let groups = ["idle,sessions,agents", "memory,stored", "letters,records"];
    let mut report = serde_json::json!({});
    std::thread::scope(|scope| {
        let asked = groups.map(|only| scope.spawn(move || ask(only)));
        for answers in asked.map(|asked| asked.join().unwrap()) {
            // What came out is not judged here: other tests run beside this one.
            assert!(answers["ok"].is_boolean(), "{answers}");
            for (question, answer) in answers.as_object().unwrap() {
                report[question] = answer.clone();
            }
        }
    });
    assert_eq!(report["agents"]["agents"], serde_json::json!([16, 40]), "{report}");
    for question in ["agents", "stored", "letters", "records"] {
        assert!(report[question]["ratio"]["median"].as_f64() > Some(0.0), "{question}: {report}");
        assert!(report[question]["reached"].is_boolean(), "{question}: {report}");
    }
    assert_eq!(report["letters"]["stored"], serde_json::json!([40, 400, 4_000]), "{report}");
    assert_eq!(report["idle"]["sessions"], 50, "{report}");
    assert!(report["idle"]["bytes_each"].as_u64() > Some(0), "{report}");
    let passed = |at: usize| report["memory"]["messages"][at].as_u64();
    assert!(passed(0) < passed(3) && passed(3) >= Some(6_000), "{report}");
    assert!(report["memory"]["peak_rss_bytes"][3].as_u64() > Some(1_000_000), "{report}");
    assert_eq!(report["sessions"]["sessions"], serde_json::json!([1, 2]), "{report}");
    assert!(report["sessions"]["throughput_ratio"]["median"].as_f64() > Some(0.0), "{report}");
}
