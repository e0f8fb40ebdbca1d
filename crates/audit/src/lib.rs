//! Audit records, their hash chain, queries, exports and the file sink.
