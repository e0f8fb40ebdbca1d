//! Tests of the witness crate as its users see it.

#[cfg(test)]
mod http;
