//! The storage engines behind gate::ports::Store and their conformance suite.
