//! Certificates, SPIFFE identities, TLS configuration and sealed fields.
//!
//! Shared by the server, the client and the command line. It reads no clock (callers pass the time
//! in seconds since 1970), opens no socket and knows no policy: whether an agent may do something
//! is decided elsewhere, here it is only established who that agent is.
//!
//! | module | holds |
//! |---|---|
//! | `spiffe` | the grammar of SPIFFE IDs and the pattern that turns one into an agent's name |
//! | `leaf` | the rules for a peer's certificate that a chain check does not know |
//! | `tls` | TLS 1.3 configurations for both sides, from files |
//! | `ca` | a certificate authority for development and tests |
//! | `files` | reading and writing of key and certificate files |
//! | `random` | random bytes |
//! | `seal` | encryption of a field to one recipient |

mod ca;
mod files;
mod leaf;
mod random;
mod seal;
mod spiffe;
mod tls;

pub use ca::{CaError, DevCa, Issued, LEAF_DAYS_DEFAULT, Validity};
pub use files::{FileError, Overwrite, read_secret, write_secret};
pub use leaf::{FormatReason, LeafError, PeerCertificate, SignerError, check_leaf, split_der};
pub use random::{NoRandom, fill_random};
pub use seal::{OpeningKey, PLAINTEXT_BYTES_MAX, SEALED_PREFIX, SealError, SealingKey, open, seal};
pub use spiffe::{IdPattern, IdPatternError, SpiffeId, SpiffeIdError};
pub use tls::{
    Bundle, BundleError, ClientMaterial, ListError, ListExpiry, Material, MaterialFiles,
    RevocationLists, ServerIdentity, Side, Svid, SvidError, TlsError, Trust, client_config,
    load_client, peer_chain, peer_leaf, server_config,
};
