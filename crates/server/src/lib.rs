//! Doors, configuration and wiring.
