//! Tests of `spiffe`: see the functions' names.
