//! The crate as its callers use it: one table or property for each promise.

#[cfg(test)]
mod documents;
#[cfg(test)]
mod found;
#[cfg(test)]
mod keyed;
#[cfg(test)]
mod linear;
#[cfg(test)]
mod policies;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod rewritten;
#[cfg(test)]
mod support;
