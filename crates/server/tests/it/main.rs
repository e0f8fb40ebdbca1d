//! Tests of the server crate as its users see it.

#[cfg(test)]
mod bounds;
#[cfg(test)]
mod certificate;
#[cfg(test)]
mod config;
#[cfg(test)]
mod door;
#[cfg(test)]
mod native;
#[cfg(test)]
mod operations;
#[cfg(test)]
mod overview;
#[cfg(test)]
mod raw;
#[cfg(test)]
mod readiness;
#[cfg(test)]
mod reload;
#[cfg(test)]
mod revoked;
#[cfg(test)]
mod site;
