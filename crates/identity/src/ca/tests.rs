//! Tests of `ca`: see the functions' names.
