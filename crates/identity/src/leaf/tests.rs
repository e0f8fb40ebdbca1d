//! Tests of `leaf`: see the functions' names.
