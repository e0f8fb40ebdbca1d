//! Repository tasks: code generation, tidy, ci.

fn main() {}
