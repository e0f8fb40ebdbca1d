//! Tests of `seal`: see the functions' names.
