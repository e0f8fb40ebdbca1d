//! Replies that come late, early, twice, or from somebody else.

use super::*;

fn reply(sender: &str, correlation: &str) -> Envelope {
    let text = format!(
        r#"{{"message_id":"m","sender_id":"{sender}","target_id":"me","message_type":"t",
            "data":{{}},"meta":{{"correlation_id":"{correlation}","is_reply":true}}}}"#
    );
    serde_json::from_str(&text).unwrap()
}

#[tokio::test]
async fn a_reply_reaches_the_one_who_asked() {
    let pending = Pending::default();
    let mut expected = pending.ask().expect("c".to_owned(), "bob");
    pending.deliver(reply("bob", "c"));
    assert_eq!(expected.reply().await.unwrap().sender_id, "bob");
    drop(expected);
    assert!(pending.table().waiting.is_empty());
}

#[tokio::test]
async fn a_reply_that_overtakes_its_request_is_kept() {
    let pending = Pending::default();
    let asking = pending.ask();
    pending.deliver(reply("bob", "c"));
    let mut expected = asking.expect("c".to_owned(), "bob");
    assert_eq!(expected.reply().await.unwrap().sender_id, "bob");
    assert!(pending.table().early.is_empty());
}

#[tokio::test]
async fn a_reply_from_another_agent_does_not_count() {
    let pending = Pending::default();
    let asking = pending.ask();
    pending.deliver(reply("mallory", "c"));
    let mut expected = asking.expect("c".to_owned(), "bob");
    pending.deliver(reply("mallory", "c"));
    pending.deliver(reply("bob", "c"));
    assert_eq!(expected.reply().await.unwrap().sender_id, "bob");
}

#[tokio::test]
async fn replies_that_nobody_asked_for_are_not_kept() {
    let pending = Pending::default();
    pending.deliver(reply("bob", "c"));
    assert!(pending.table().early.is_empty());
    let asking = pending.ask();
    pending.deliver(reply("bob", "other"));
    drop(asking.expect("c".to_owned(), "bob"));
    assert!(pending.table().early.is_empty());
    assert!(pending.table().waiting.is_empty());
}

#[test]
fn early_replies_are_bounded_in_number_and_time() {
    let mut table = Table { asking: 1, ..Table::default() };
    let now = Instant::now();
    for number in 0..=EARLY_MAX {
        table.keep_early(number.to_string(), reply("bob", "c"), now);
    }
    assert_eq!(table.early.len(), EARLY_MAX);
    assert_eq!(table.early.front().unwrap().correlation, "1");
    table.keep_early("last".to_owned(), reply("bob", "c"), now + EARLY_KEPT);
    assert_eq!(table.early.len(), 1);
}
