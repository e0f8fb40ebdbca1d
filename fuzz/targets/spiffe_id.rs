//! SPIFFE IDs: two readings of the grammar agree.
#![no_main]

use identity::SpiffeId;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let parsed = SpiffeId::parse(text);
    assert_eq!(parsed.is_ok(), palisade_fuzz::is_spiffe_id(text), "{text:?}: {parsed:?}");
    if let Ok(id) = parsed {
        assert_eq!(id.as_str(), text);
        assert_eq!(format!("spiffe://{}{}", id.trust_domain(), id.path()), text);
    }
});
