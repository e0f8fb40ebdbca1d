//! Comparisons with servers that others wrote, in their short form.

use e2e::{Foreign, Program};

#[tokio::test]
async fn the_comparison_with_nats_prints_the_ratios_of_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    let peer = Foreign::program("nats-server").unwrap();
    let line = [
        "bench",
        "compare",
        "nats",
        "--json",
        "--rounds",
        "2",
        "--seconds",
        "1",
        "--sessions",
        "3",
        "--nats-server",
        peer.to_str().unwrap(),
    ];
    let run = Program::new(folder.path(), &line).unwrap().run().await.unwrap();
    let report = run.ok().unwrap().json().unwrap();
    assert_eq!((&report["rounds"], &report["ok"]), (&2.into(), &true.into()), "{report}");
    for path in ["/native", "/mas_unary", "/always", "/mas_unary_always"] {
        for ratio in ["cpu_ratio", "throughput_ratio"] {
            let spread = &report.pointer(path).unwrap()[ratio];
            let figure = |name: &str| spread[name].as_f64();
            assert!(figure("min") > Some(0.0), "{path} {ratio}: {report}");
            assert!(figure("min") <= figure("median"), "{path} {ratio}: {report}");
            assert!(figure("median") <= figure("max"), "{path} {ratio}: {report}");
        }
    }
}
