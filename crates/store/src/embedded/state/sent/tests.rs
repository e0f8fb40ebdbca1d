//! Keys beside a plain list of them.

use std::collections::VecDeque;

use super::*;

fn sender() -> AgentId {
    AgentId::parse("a").unwrap()
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000)
}

fn sent(key: u128, until: u64) -> Sent {
    Sent {
        sender: sender(),
        key,
        content: key << 1,
        message: MessageId::from_random(key << 2 | u128::from(until)),
        correlation: key.is_multiple_of(3).then(|| CorrelationId::from_random(key)),
        expires_at: at(until),
    }
}

/// The plainest way to keep keys: a list, searched from one end to the other.
struct List {
    max: usize,
    sent: VecDeque<Sent>,
}

impl List {
    fn push(&mut self, sent: Sent) {
        self.sent.retain(|one| one.key != sent.key);
        self.sent.push_back(sent);
        while self.sent.len() > self.max {
            self.sent.pop_front();
        }
    }
}

#[test]
fn keys_are_kept_as_a_plain_list_keeps_them() {
    // Short times make many keys free again, so that they are made anew among those that count.
    let mut random = 1_u64;
    let mut next = |below: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (random >> 33) % below
    };
    for (max, names) in [(1, 5), (20, 30), (50, 45), (100, 1_000)] {
        let (mut keys, mut list) = (Keys::new(max), List { max, sent: VecDeque::new() });
        for now in 1..3_000 {
            let key = u128::from(next(names));
            let live = list.sent.iter().find(|one| one.key == key && one.expires_at > at(now));
            assert_eq!(keys.live(&sender(), key, at(now)).as_ref(), live, "{max} {now} {key}");
            if live.is_none() {
                let made = sent(key, now + next(60));
                keys.push(made.clone());
                list.push(made);
            }
            if next(100) == 0 {
                keys.purge(at(now));
                while list.sent.front().is_some_and(|one| one.expires_at <= at(now)) {
                    list.sent.pop_front();
                }
            }
            if next(100) == 0 {
                assert!(keys.iter().eq(list.sent.iter().cloned()), "{max} {now}");
            }
            let kept = keys.of.get(&sender()).map_or(0, |own| own.made.len());
            assert!(kept <= 2 * max + FEW, "{kept} are kept of {max}");
        }
    }
}

#[test]
fn numbers_go_on_behind_the_largest() {
    let mut keys = Keys::new(10);
    keys.push(sent(0, 9));
    let own = keys.of.get_mut(&sender()).unwrap();
    own.drop_front(&keys.hasher);
    own.first = u32::MAX - 4;
    for key in 0..25 {
        keys.push(sent(key, 9));
        assert_eq!(keys.live(&sender(), key, at(1)), Some(sent(key, 9)));
    }
    assert_eq!(keys.iter().map(|sent| sent.key).collect::<Vec<_>>(), (15..25).collect::<Vec<_>>());
    assert_eq!(keys.live(&sender(), 14, at(1)), None);
}

#[test]
fn a_key_takes_little_memory_and_gives_it_back() {
    assert_eq!(size_of::<Made>(), 64);
    let mut keys = Keys::new(32_768);
    for key in 0..100_000 {
        keys.push(sent(key, 9));
    }
    let own = keys.of.get(&sender()).unwrap();
    assert_eq!(own.made.capacity(), 32_768);
    assert!(own.numbers.capacity() < 65_536);
    keys.push(sent(100_000, 20));
    keys.purge(at(10));
    let own = keys.of.get(&sender()).unwrap();
    assert!(own.made.capacity() < 100 && own.numbers.capacity() < 100);
    keys.purge(at(20));
    assert!(keys.of.is_empty());
}
