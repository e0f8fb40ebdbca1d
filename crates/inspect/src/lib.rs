//! Payload validation and data-loss prevention: pure CPU, no I/O.
