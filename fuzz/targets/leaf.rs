//! Leaf certificates: who is accepted has exactly one URI name, and that is the identity.
#![no_main]

use identity::check_leaf;
use libfuzzer_sys::fuzz_target;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

fuzz_target!(|der: &[u8]| {
    let Ok(peer) = check_leaf(der) else { return };
    let (rest, certificate) = X509Certificate::from_der(der).expect("it was accepted");
    assert!(rest.is_empty(), "bytes behind the certificate");
    assert!(!certificate.is_ca());
    let names = certificate.subject_alternative_name().expect("readable").expect("present").value;
    let uris: Vec<_> = names
        .general_names
        .iter()
        .filter_map(|name| if let GeneralName::URI(uri) = name { Some(*uri) } else { None })
        .collect();
    assert_eq!(uris, [peer.spiffe_id.as_str()]);
    assert!(palisade_fuzz::is_spiffe_id(peer.spiffe_id.as_str()));
});
