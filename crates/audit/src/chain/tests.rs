//! Test vectors, computed by another program from the words of `docs/audit-format.md`.

use super::{Chain, Link};
use crate::to_hex;

#[test]
fn the_chain_gives_the_published_hashes() {
    let expected = [
        "17b18cbf59a07f183d9bebc6d030b1614ab0625af8cdaee73ab3153dec63aa84",
        "4dee4d25115e1fae34f8b88090f0698076011df816b5e305ef529988f137f83c",
        "ce1e6e0e07e485d5ca0f8178d4af57233f967709fcc89431256f598aa4b2238e",
    ];
    let mut chain = Chain::genesis();
    let mut prev = [0; 32];
    for (place, (body, hash)) in ["{}", "{\"a\":1}", ""].iter().zip(expected).enumerate() {
        assert_eq!(chain.next_seq(), place as u64 + 1);
        let link = chain.append(body.as_bytes());
        assert_eq!(link.seq, place as u64 + 1);
        assert_eq!(link.prev, prev);
        assert_eq!(to_hex(&link.hash), hash);
        prev = link.hash;
    }
    assert_eq!(chain.head(), prev);
}

#[test]
fn a_resumed_chain_goes_on_as_if_never_stopped() {
    let mut whole = Chain::default();
    whole.append(b"{}");
    let mut resumed = Chain::resume(whole.next_seq(), whole.head());
    assert_eq!(resumed.append(b"{\"a\":1}"), whole.append(b"{\"a\":1}"));
    assert_eq!(resumed, whole);
}

#[test]
fn everything_of_an_entry_is_in_its_hash() {
    let hash = |seq, prev, body| Link::of(seq, prev, body).hash;
    let one = hash(1, [0; 32], b"ab");
    assert_ne!(one, hash(2, [0; 32], b"ab"), "number");
    assert_ne!(one, hash(1, [1; 32], b"ab"), "predecessor");
    assert_ne!(one, hash(1, [0; 32], b"ac"), "body");
}
