//! One conformance suite for every engine, the model against the embedded one, and crashes.

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod crash;
#[cfg(test)]
mod model;
