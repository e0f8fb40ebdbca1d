//! The policy as its users see it: files in, decisions out.

#[cfg(test)]
mod differential;
#[cfg(test)]
mod document;
#[cfg(test)]
mod engine;
#[cfg(test)]
mod files;
#[cfg(test)]
mod reference;
