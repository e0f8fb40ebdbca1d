//! The library that agents link to talk through a Palisade gate.
