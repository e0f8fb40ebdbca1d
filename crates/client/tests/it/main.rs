//! The client against a small gate of its own: real TLS, real gRPC, scripted behaviour.

#[cfg(test)]
mod connecting;
#[cfg(test)]
mod delivery;
#[cfg(test)]
mod examples;
#[cfg(test)]
mod gate;
#[cfg(test)]
mod hops;
#[cfg(test)]
mod native;
#[cfg(test)]
mod reconnecting;
#[cfg(test)]
mod renewing;
#[cfg(test)]
mod requests;
#[cfg(test)]
mod site;
#[cfg(test)]
mod spans;
