//! Fields that the gate encrypted to this agent, opened in place.
//!
//! It opens values only, never keys of objects, and never fails: what does not open stays as it is
//! and is named.

use identity::{OpeningKey, SEALED_PREFIX, open};
use serde_json::Value;

/// Opens every sealed string in a payload and returns where one did not open, as JSON pointers.
pub(crate) fn open_all(data: &mut Value, key: &OpeningKey, agent: &str) -> Vec<String> {
    let mut opener = Opener { key, agent, left: OPENED_MAX, unopened: Vec::new() };
    opener.visit(data, "");
    opener.unopened
}

struct Opener<'a> {
    key: &'a OpeningKey,
    agent: &'a str,
    left: usize,
    unopened: Vec<String>,
}

impl Opener<'_> {
    /// INVARIANT: as deep as the JSON parser lets a payload be, which is 128 levels.
    fn visit(&mut self, value: &mut Value, at: &str) {
        match value {
            Value::String(text) => self.visit_text(text, at),
            Value::Array(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    if may_hold_text(item) {
                        self.visit(item, &format!("{at}/{index}"));
                    }
                }
            }
            Value::Object(fields) => {
                for (name, field) in fields.iter_mut() {
                    if may_hold_text(field) {
                        let name = name.replace('~', "~0").replace('/', "~1");
                        self.visit(field, &format!("{at}/{name}"));
                    }
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn visit_text(&mut self, text: &mut String, at: &str) {
        if !text.starts_with(SEALED_PREFIX) {
            return;
        }
        match self.opened(text) {
            Some(plain) => *text = plain,
            None if self.unopened.len() < UNOPENED_MAX => self.unopened.push(at.to_owned()),
            None => {}
        }
    }

    fn opened(&mut self, token: &str) -> Option<String> {
        self.left = self.left.checked_sub(1)?;
        let plain = open(self.key, self.agent.as_bytes(), token).ok()?;
        std::str::from_utf8(&plain).ok().map(str::to_owned)
    }
}

/// Spares the path of values that cannot hold a sealed field.
fn may_hold_text(value: &Value) -> bool {
    match value {
        Value::String(text) => text.starts_with(SEALED_PREFIX),
        Value::Array(_) | Value::Object(_) => true,
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// LIMIT: opening costs about 0.1 ms, and a sender may write as many tokens as a message holds.
const OPENED_MAX: usize = 1024;
/// LIMIT: more would say nothing new.
const UNOPENED_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use identity::seal;
    use serde_json::json;

    use super::*;

    #[test]
    fn sealed_fields_are_opened_wherever_they_stand() {
        let key = OpeningKey::generate().unwrap();
        let token = |text: &str| seal(key.sealing_key(), b"bob", text.as_bytes()).unwrap();
        let mut data = json!({ "a": [1, { "ssn": token("123-45-6789") }], "b": token("") });
        assert!(open_all(&mut data, &key, "bob").is_empty());
        assert_eq!(data, json!({ "a": [1, { "ssn": "123-45-6789" }], "b": "" }));
    }

    #[test]
    fn what_does_not_open_stays_and_is_named() {
        let key = OpeningKey::generate().unwrap();
        let to_carol = seal(key.sealing_key(), b"carol", b"x").unwrap();
        let to_other_key =
            seal(OpeningKey::generate().unwrap().sealing_key(), b"bob", b"x").unwrap();
        let not_text = seal(key.sealing_key(), b"bob", &[0xff]).unwrap();
        // In the order of the alphabet, in which objects are read whether they keep theirs or not.
        let before = json!({ "a/b~c": [to_carol, to_other_key],
            "about": "see palisade:sealed:v1:", "junk": "palisade:sealed:v1:!", "n": not_text });
        let mut data = before.clone();
        let unopened = open_all(&mut data, &key, "bob");
        assert_eq!(unopened, ["/a~1b~0c/0", "/a~1b~0c/1", "/junk", "/n"]);
        assert_eq!(data, before);
    }

    #[test]
    fn the_work_for_one_message_is_bounded() {
        let key = OpeningKey::generate().unwrap();
        let token = seal(key.sealing_key(), b"bob", b"x").unwrap();
        let mut data = Value::from(vec![token.clone(); OPENED_MAX + 2]);
        let unopened = open_all(&mut data, &key, "bob");
        assert_eq!(unopened, [format!("/{OPENED_MAX}"), format!("/{}", OPENED_MAX + 1)]);
        assert_eq!(data[OPENED_MAX - 1], "x");
        assert_eq!(data[OPENED_MAX], Value::from(token));
    }
}
