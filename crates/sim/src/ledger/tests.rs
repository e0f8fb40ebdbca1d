//! What the book of a run notices.

use serde_json::json;

use super::*;

fn agent(name: &str) -> AgentId {
    AgentId::parse(name).unwrap()
}

fn envelope(number: usize) -> Bytes {
    let id = MessageId::from_random(number as u128).to_string();
    let data = json!({ "from": "a", "number": number });
    Bytes::from(json!({ "message_id": id, "sender_id": "a", "data": data }).to_string())
}

fn key(number: usize) -> Sent {
    sent(&agent("a"), &agent("b"), number)
}

/// A book in which messages were sent, one after the other, and accepted.
fn ledger(numbers: &[usize]) -> Ledger {
    let mut ledger = Ledger::default();
    for number in numbers {
        ledger.sending(&key(*number), true);
        ledger.heard(&key(*number), true, &accepted(*number, false));
        ledger.over(&key(*number));
    }
    ledger
}

fn accepted(number: usize, duplicate: bool) -> Heard {
    let message = MessageId::from_random(number as u128);
    Heard::Yes(Answer::Accepted { message, correlation: None, duplicate })
}

#[test]
fn a_delivery_out_of_order_is_noted() {
    let mut ledger = ledger(&[1, 2]);
    for number in [2, 2, 1] {
        ledger.delivered(&agent("b"), &envelope(number)).unwrap();
    }
    ledger.check_order();
    assert_eq!(ledger.broken.len(), 1, "{:?}", ledger.broken);
}

#[test]
fn only_those_that_were_over_before_are_held_to_an_order() {
    let mut ledger = Ledger::default();
    for number in [1, 2] {
        ledger.sending(&key(number), false);
    }
    for number in [2, 1] {
        ledger.heard(&key(number), true, &accepted(number, false));
        ledger.over(&key(number));
        ledger.delivered(&agent("b"), &envelope(number)).unwrap();
    }
    ledger.check_order();
    assert!(ledger.broken.is_empty(), "{:?}", ledger.broken);
    ledger.in_order(&[key(1), key(2)]);
    ledger.check_order();
    assert_eq!(ledger.broken.len(), 1, "{:?}", ledger.broken);
}

#[test]
fn a_delivery_that_nobody_sent_or_to_another_is_noted() {
    let mut ledger = ledger(&[1]);
    ledger.delivered(&agent("b"), &envelope(2)).unwrap_err();
    ledger.delivered(&agent("c"), &envelope(1)).unwrap_err();
    assert_eq!(ledger.broken.len(), 2);
}

#[test]
fn a_delivery_of_what_never_arrived_is_noted() {
    let mut ledger = Ledger::default();
    for (number, may_be_done) in [(1, true), (2, false)] {
        ledger.sending(&key(number), false);
        ledger.heard(&key(number), true, &Heard::Nothing { may_be_done });
        ledger.over(&key(number));
    }
    ledger.delivered(&agent("b"), &envelope(1)).unwrap();
    ledger.delivered(&agent("b"), &envelope(2)).unwrap_err();
    assert_eq!((ledger.broken.len(), ledger.lost), (1, 1));
}

#[test]
fn a_key_that_makes_two_messages_is_noted() {
    let mut ledger = ledger(&[1]);
    ledger.heard(&key(1), true, &accepted(1, true));
    assert!(ledger.broken.is_empty(), "{:?}", ledger.broken);
    assert_eq!(ledger.repeats, 1);
    ledger.heard(&key(1), true, &accepted(7, false));
    assert_eq!(ledger.broken.len(), 1);
}

#[test]
fn a_state_that_was_confirmed_may_not_be_gone() {
    let mut ledger = Ledger::default();
    for number in [1, 2] {
        ledger.writing_state(&agent("a"), number);
    }
    ledger.wrote_state(&agent("a"), 1);
    for (found, broken) in [(Some(1), 0), (Some(2), 0), (None, 1), (Some(3), 2)] {
        ledger.check_state(&agent("a"), found);
        assert_eq!(ledger.broken.len(), broken, "{found:?}");
    }
}
