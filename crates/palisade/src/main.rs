//! The one binary: serve and every other verb.

fn main() {}
