//! One conformance suite for every engine.

mod conformance;
