//! Each circuit at its borders, and how circuits of several senders meet.

use std::time::Duration;

use super::*;

fn settings() -> CircuitSettings {
    CircuitSettings {
        failure_threshold: 3,
        success_threshold: 2,
        timeout: Duration::from_secs(60),
        window: Duration::from_secs(300),
        half_open_max: 1,
        scope: CircuitScope::Sender,
        senders_to_open: 2,
    }
}

fn at(second: u64) -> Timestamp {
    Timestamp::from_micros((1_000_000 + second) * 1_000_000)
}

fn agent(name: &str) -> AgentId {
    AgentId::parse(name).unwrap()
}

fn fail(circuits: &Circuits, sender: &str, times: u64, second: u64) {
    for _ in 0..times {
        let _ops = circuits.failure(&agent(sender), &agent("t"), at(second));
    }
}

#[test]
fn one_sender_cannot_cut_a_target_off_for_others() {
    let circuits = Circuits::new(settings());
    fail(&circuits, "bad", 50, 0);
    assert_eq!(circuits.check(&agent("bad"), &agent("t"), at(1)).unwrap_err().as_secs(), 59);
    assert!(circuits.check(&agent("good"), &agent("t"), at(1)).is_ok());
}

#[test]
fn a_target_that_fails_several_senders_opens_for_all() {
    let circuits = Circuits::new(settings());
    fail(&circuits, "a", 3, 0);
    assert!(circuits.check(&agent("c"), &agent("t"), at(1)).is_ok());
    fail(&circuits, "b", 3, 1);
    assert!(circuits.check(&agent("c"), &agent("t"), at(2)).is_err());
    assert!(circuits.check(&agent("c"), &agent("other"), at(2)).is_ok());
    assert_eq!(circuits.check(&agent("c"), &agent("t"), at(50)).unwrap_err().as_secs(), 10);
    assert!(circuits.check(&agent("c"), &agent("t"), at(60)).is_ok(), "it did not end");
}

#[test]
fn senders_that_failed_long_ago_do_not_open_a_target_for_all() {
    let circuits = Circuits::new(settings());
    fail(&circuits, "a", 3, 0);
    fail(&circuits, "b", 3, 100);
    assert!(circuits.check(&agent("c"), &agent("t"), at(101)).is_ok());
}

#[test]
fn one_sender_cannot_keep_a_target_shut_that_opened_for_all() {
    let circuits = Circuits::new(settings());
    fail(&circuits, "a", 3, 0);
    fail(&circuits, "b", 3, 0);
    let _probe = circuits.check(&agent("a"), &agent("t"), at(60)).unwrap();
    fail(&circuits, "a", 1, 61);
    assert!(circuits.check(&agent("a"), &agent("t"), at(62)).is_err());
    assert!(circuits.check(&agent("c"), &agent("t"), at(62)).is_ok());
}

#[test]
fn the_reference_scope_shares_one_circuit() {
    let circuits = Circuits::new(CircuitSettings { scope: CircuitScope::Target, ..settings() });
    fail(&circuits, "bad", 3, 0);
    assert!(circuits.check(&agent("good"), &agent("t"), at(1)).is_err());
}

#[test]
fn half_open_lets_a_bounded_number_through() {
    let circuits = Circuits::new(settings());
    fail(&circuits, "a", 3, 0);
    let (a, t) = (agent("a"), agent("t"));
    assert!(circuits.check(&a, &t, at(59)).is_err());
    let probe = circuits.check(&a, &t, at(60)).unwrap();
    assert!(circuits.check(&a, &t, at(61)).is_err(), "a second probe passed");
    circuits.cancel(probe);
    let _second = circuits.check(&a, &t, at(62)).unwrap();
    let _ops = circuits.success(&a, &t);
    let _third = circuits.check(&a, &t, at(63)).unwrap();
    let ops = circuits.success(&a, &t);
    assert!(matches!(ops, Some(Op::Delete { .. })), "it did not close: {ops:?}");
    assert_eq!(circuits.state(&a, &t), State::Closed);
}

#[test]
fn a_failed_probe_opens_again_and_a_lost_one_frees_its_place() {
    let circuits = Circuits::new(settings());
    fail(&circuits, "a", 3, 0);
    let (a, t) = (agent("a"), agent("t"));
    let _lost = circuits.check(&a, &t, at(60)).unwrap();
    let _again = circuits.check(&a, &t, at(120)).unwrap();
    fail(&circuits, "a", 1, 121);
    assert_eq!(circuits.check(&a, &t, at(122)).unwrap_err().as_secs(), 59);
}

#[test]
fn failures_far_apart_and_after_a_success_do_not_add_up() {
    let circuits = Circuits::new(settings());
    fail(&circuits, "a", 2, 0);
    let _ops = circuits.success(&agent("a"), &agent("t"));
    fail(&circuits, "a", 2, 1);
    fail(&circuits, "a", 2, 400);
    assert!(circuits.check(&agent("a"), &agent("t"), at(401)).is_ok());
}

#[test]
fn a_clock_that_goes_back_keeps_no_circuit_open_for_longer() {
    let circuits = Circuits::new(settings());
    fail(&circuits, "a", 3, 90_000);
    fail(&circuits, "b", 3, 90_000);
    for sender in ["a", "c"] {
        let wait = circuits.check(&agent(sender), &agent("t"), at(0)).unwrap_err();
        assert_eq!(wait.as_secs(), 60, "{sender}");
    }
    let _probe = circuits.check(&agent("c"), &agent("t"), at(60)).unwrap();
    let _lost = circuits.check(&agent("a"), &agent("t"), at(90_000)).unwrap();
    assert!(circuits.check(&agent("a"), &agent("t"), at(70)).is_err());
    assert!(circuits.check(&agent("a"), &agent("t"), at(130)).is_ok());
}

#[test]
fn a_stored_circuit_is_open_again_after_a_restart() {
    let circuits = Circuits::new(settings());
    fail(&circuits, "a", 2, 0);
    let ops = circuits.failure(&agent("a"), &agent("t"), at(0));
    let restarted = Circuits::new(settings());
    let Some(Op::Put { key, value, .. }) = ops else { panic!("nothing to store: {ops:?}") };
    restarted.restore(&key, &value);
    assert!(restarted.check(&agent("a"), &agent("t"), at(1)).is_err());
}
