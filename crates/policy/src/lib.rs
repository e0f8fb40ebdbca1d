//! Access rules: ACL sets and roles, compiled into a decision with its reason.
