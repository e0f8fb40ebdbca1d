//! Tests of `files`: see the functions' names.
