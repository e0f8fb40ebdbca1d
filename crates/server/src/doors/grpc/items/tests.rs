//! Frames as the codec writes them, and such as no codec would.

use prost::Message as _;
use wire::palisade::bus::v1 as bus;

use super::*;

fn framed(body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    [&[0], &length[..], body].concat()
}

fn frame(publishes: u32, acks: u32, nacks: u32) -> Vec<u8> {
    let publish = bus::Publish { payload: vec![0x12; 300].into(), item: 300, ..Default::default() };
    let nack = bus::Nack { delivery_id: 1 << 40, reason: "\x12".repeat(10), retryable: true };
    let frame = bus::ClientFrame {
        hello: Some(bus::Hello { instance_id: "one".to_owned(), ..Default::default() }),
        publishes: vec![publish; publishes as usize],
        acks: (0..acks).map(|number| u64::from(number) << 10).collect(),
        nacks: vec![nack; nacks as usize],
        credit_bytes: 1 << 30,
    };
    framed(&frame.encode_to_vec())
}

/// Follows bytes in pieces of a size.
fn holds(bytes: &[u8], size: usize) -> bool {
    let mut scan = Scan::default();
    bytes.chunks(size).all(|piece| scan.follow(piece))
}

#[test]
fn items_are_counted_in_each_frame_however_it_is_cut() {
    let counted = |bytes: &[u8], size| {
        let mut scan = Scan::default();
        // All but the last byte: behind it the next frame begins.
        let (last, all) = bytes.split_last().unwrap();
        assert!(all.chunks(size).all(|piece| scan.follow(piece)));
        let seen = (scan.publishes, scan.others);
        assert!(scan.follow(&[*last]) && scan.left == 0);
        seen
    };
    for size in [1, 2, 3, 7, 100, 100_000] {
        // Beside the answers there are hello and credit.
        assert_eq!(counted(&frame(3, 0, 5), size), (3, 7), "{size}");
        let two = [frame(9, 9, 9), framed(b""), frame(1, 30, 2)].concat();
        assert_eq!(counted(&two, size), (1, 34), "{size}");
    }
}

#[test]
fn as_many_items_as_may_be_pass_and_one_more_does_not() {
    for size in [1, 1_000, 10_000_000] {
        assert!(holds(&frame(PUBLISHES_MAX, 60_000, 5_000).repeat(2), size));
        assert!(!holds(&frame(PUBLISHES_MAX + 1, 0, 0), size));
        assert!(!holds(&frame(0, OTHERS_MAX + 1, 0), size));
        assert!(!holds(&frame(0, 0, OTHERS_MAX + 1), size));
        assert!(!holds(&frame(0, 60_000, 6_000), size));
    }
}

#[test]
fn items_cannot_hide() {
    let many = [0x12, 0].repeat(PUBLISHES_MAX as usize + 1);
    // Behind an unknown field of each kind, an empty group, and a tag longer than it need be.
    for before in [
        &[0x78, 0xff, 0x01][..],
        &[0x79, 0, 0, 0, 0, 0, 0, 0, 0],
        &[0x7a, 2, 0, 0],
        &[0x7d, 0, 0, 0, 0],
        &[0x7b, 0x7c],
        &[0x1a, 0],
        &[0x92, 0x80, 0, 0],
    ] {
        assert!(!holds(&framed(&[before, &many].concat()), 1), "{before:?}");
    }
    // Numbers of acknowledgements that do not stand together.
    assert!(!holds(&framed(&[0x18, 1].repeat(OTHERS_MAX as usize + 1)), 1));
    // Fields that nobody knows count as well.
    assert!(!holds(&framed(&[0x78, 1].repeat(OTHERS_MAX as usize + 1)), 1));
}

#[test]
fn what_is_no_frame_is_left_to_the_codec() {
    // A length beyond the frame ends with it; a tag or number that goes on ends with it too.
    for broken in [&[0x12, 0xff, 0x7f][..], &[0xff; 40], &[0x78, 0xff], &[0x1a, 9, 1]] {
        let behind = frame(PUBLISHES_MAX + 1, 0, 0);
        assert!(holds(&framed(broken), 1));
        assert!(!holds(&[framed(broken), behind].concat(), 1), "{broken:?}");
    }
}
