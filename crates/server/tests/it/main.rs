//! Tests of the server crate as its users see it.

#[cfg(test)]
mod config;
#[cfg(test)]
mod door;
