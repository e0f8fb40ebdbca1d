//! Certificates, SPIFFE identities, TLS configuration and sealed fields.
