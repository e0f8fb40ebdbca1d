//! TLS from files to a finished handshake, through the public interface alone.

#[cfg(test)]
mod files;
#[cfg(test)]
mod handshake;
#[cfg(test)]
mod site;
#[cfg(test)]
mod trust;
