//! What a connection may cost: each limit of `server.limits`, met on purpose.

mod connections;
mod drain;
mod floods;
mod frames;
mod silence;
mod slow_lane;
