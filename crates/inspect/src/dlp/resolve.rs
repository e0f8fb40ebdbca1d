//! Matches that lie over one another become findings that do not count anything twice.
//!
//! It drops and joins; it does not mask.

use super::spec::Action;

/// One match, in bytes of the view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hit {
    /// The place of its field among the fields of the view.
    pub(super) field: usize,
    pub(super) start: usize,
    pub(super) end: usize,
    /// The place of its type among the types of the policy.
    pub(super) kind: usize,
    pub(super) action: Action,
    /// Whether matches of other types lie in it, so that no part of it may be shown.
    pub(super) is_mixed: bool,
}

/// Joins matches of one type that overlap, and drops those inside a longer one that is treated
/// as strictly or more so.
pub(super) fn resolve(mut hits: Vec<Hit>) -> Vec<Hit> {
    hits.sort_unstable_by(|a, b| {
        (a.field, a.start)
            .cmp(&(b.field, b.start))
            .then(b.end.cmp(&a.end))
            .then(b.action.cmp(&a.action))
            .then(a.kind.cmp(&b.kind))
    });
    let mut kept: Vec<Hit> = Vec::with_capacity(hits.len());
    // INVARIANT: at most one open match for each type, so the inner loop is short.
    let mut open: Vec<usize> = Vec::new();
    for hit in hits {
        open.retain(|at| {
            kept.get(*at).is_some_and(|one| one.field == hit.field && one.end > hit.start)
        });
        if !absorb(&mut kept, &open, hit) {
            open.push(kept.len());
            kept.push(hit);
        }
    }
    kept
}

/// Lets an open match take a later one in; says whether one did.
fn absorb(kept: &mut [Hit], open: &[usize], hit: Hit) -> bool {
    for at in open {
        let Some(one) = kept.get_mut(*at) else { continue };
        if one.kind == hit.kind {
            one.end = one.end.max(hit.end);
            return true;
        }
    }
    for at in open {
        let Some(one) = kept.get_mut(*at) else { continue };
        if hit.end <= one.end && hit.action <= one.action {
            one.is_mixed = true;
            return true;
        }
    }
    false
}
