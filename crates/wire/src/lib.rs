//! Generated gRPC code for the contracts in proto/, and nothing else.
