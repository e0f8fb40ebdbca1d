//! Test vectors, computed by another program from the words of `docs/audit-format.md`.

use super::{Chain, Link};
use crate::to_hex;

#[test]
fn the_chain_gives_the_published_hashes() {
    let expected = [
        "fe67f717f691b1ced81605f8ebdfcac654d5fa0c023224c9f0bea26e8d589dd1",
        "05b36ad228ab0df3737809fcdefb2ffe0f76eaf0589cb31218410dd8ac95a26e",
        "b9c97f8bac5cf108fe89fc80a98a64cb8859a52f07ecc47ebaadf289bb6b92d1",
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
