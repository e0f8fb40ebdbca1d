//! One conformance suite for every engine, the model against the embedded one, crashes, losses
//! of power, and damage.

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod crash;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod flips;
#[cfg(test)]
mod fragile;
#[cfg(test)]
mod ledger;
#[cfg(test)]
mod model;
#[cfg(test)]
mod points;
#[cfg(test)]
mod power;
#[cfg(test)]
mod random;
