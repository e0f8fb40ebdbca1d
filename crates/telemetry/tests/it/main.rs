//! What leaves the process, as a collector reads it.

#[cfg(test)]
mod collector;
#[cfg(test)]
mod export;
#[cfg(test)]
mod tls;
#[cfg(test)]
mod unwilling;
