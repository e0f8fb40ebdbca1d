//! The program: what a call passes on its way through the gate.
//!
//! Start with [`pipeline`]: the order of the stages on one screen. This crate has no network,
//! no disk and no clock: doors call it, and what it needs comes in through [`ports`].

mod aside;
mod case;
pub mod circuits;
pub mod delivery;
mod gate;
pub mod limits;
pub mod observe;
pub mod overview;
pub mod pipeline;
pub mod ports;
pub mod recent;
mod refusals;
pub mod registry;
pub mod settings;
pub mod tasks;
pub mod types;
pub mod way;

pub use gate::{Gate, Parts};
