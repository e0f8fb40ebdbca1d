//! How many connections each address or identity has open, up to a bound.
//!
//! It counts what is open now; it does not limit how often connections are made.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{Semaphore, SemaphorePermit};

/// The open connections of each key.
#[derive(Debug)]
pub(super) struct Places<K> {
    taken: Mutex<HashMap<K, Taken>>,
    each_max: usize,
    turns_max: usize,
}

/// The places that a key has taken, and how many of them may do costly work at once.
#[derive(Debug)]
struct Taken {
    count: usize,
    turns: Arc<Semaphore>,
}

/// One place that is taken; dropping it gives it back.
#[derive(Debug)]
pub(super) struct Place<K: Eq + Hash> {
    places: Arc<Places<K>>,
    key: K,
    turns: Arc<Semaphore>,
}

impl<K: Eq + Hash> Place<K> {
    /// Waits until the key's other places leave a turn for costly work.
    pub(super) async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        self.turns.acquire().await.ok()
    }
}

impl<K: Eq + Hash + Clone> Places<K> {
    pub(super) fn new(each_max: usize, turns_max: usize) -> Arc<Self> {
        Arc::new(Self { taken: Mutex::default(), each_max, turns_max })
    }

    /// Takes a place for a key; nothing if it has as many as it may.
    pub(super) fn take(self: &Arc<Self>, key: K) -> Option<Place<K>> {
        let mut taken = self.taken.lock();
        let of_key = taken
            .entry(key.clone())
            .or_insert_with(|| Taken { count: 0, turns: Arc::new(Semaphore::new(self.turns_max)) });
        if of_key.count >= self.each_max {
            return None;
        }
        of_key.count += 1;
        let turns = Arc::clone(&of_key.turns);
        drop(taken);
        Some(Place { places: Arc::clone(self), key, turns })
    }
}

impl<K: Eq + Hash> Drop for Place<K> {
    fn drop(&mut self) {
        let mut taken = self.places.taken.lock();
        if let Some(of_key) = taken.get_mut(&self.key) {
            of_key.count = of_key.count.saturating_sub(1);
            if of_key.count == 0 {
                // INVARIANT: no key without a place stays, so the map is as small as what is open.
                taken.remove(&self.key);
            }
        }
    }
}

/// Returns what counts as one address: of IPv6 the network, because one machine usually has all
/// the addresses of a /64.
pub(super) fn network(address: IpAddr) -> IpAddr {
    const NETWORK: u128 = !0 << 64;
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & NETWORK)),
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_for_each_key_and_given_back() {
        let places = Places::new(2, 1);
        let first = places.take("a").unwrap();
        let _second = places.take("a").unwrap();
        assert!(places.take("a").is_none());
        assert!(places.take("b").is_some());
        drop(first);
        assert!(places.take("a").is_some());
        assert_eq!(places.taken.lock().len(), 1);
    }

    #[test]
    fn the_addresses_of_one_ipv6_network_count_as_one() {
        let at = |address: &str| network(address.parse().unwrap());
        assert_eq!(at("2001:db8:1:2::1"), at("2001:db8:1:2:ffff::9"));
        assert_ne!(at("2001:db8:1:2::1"), at("2001:db8:1:3::1"));
        assert_eq!(at("::ffff:192.0.2.7"), at("192.0.2.7"));
        assert_ne!(at("192.0.2.7"), at("192.0.2.8"));
    }
}
