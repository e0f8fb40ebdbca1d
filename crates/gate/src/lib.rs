//! The program: types, ports, pipeline and delivery.
