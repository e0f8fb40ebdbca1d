//! File descriptors: connections must not take those with which the store goes on.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Returns how many connections may be open at once, which is less than what is wanted where the
/// process may not have so many files open. What it may is raised as far as the system allows.
pub(super) fn connections_max(wanted: usize) -> usize {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    let limit = if raised.is_ok() { maximum } else { current };
    let most = room(limit);
    if wanted <= most {
        return wanted;
    }
    tracing::warn!(
        connections_max = most,
        wanted,
        "the process may not have enough files open for server.limits.connections_max; raise its \
         limit (ulimit -n, LimitNOFILE)"
    );
    most
}

/// Returns how many of the files that a process may have open can be connections.
fn room(limit: Option<u64>) -> usize {
    let limit = limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    limit.saturating_sub(KEPT).max(limit / 2).max(1)
}

/// LIMIT: the store with its log, snapshots, archive and message bodies, files of certificates, the
/// copy of the audit log, standard streams, and connections that are closed as soon as they are
/// accepted, together need fewer.
const KEPT: usize = 64;

#[cfg(test)]
mod tests {
    use super::room;

    #[test]
    fn a_part_of_the_files_that_may_be_open_is_kept_from_connections() {
        for (limit, most) in [(1024, 960), (128, 64), (100, 50), (1, 1), (0, 1)] {
            assert_eq!(room(Some(limit)), most, "{limit}");
        }
        assert!(room(None) > 1 << 40);
    }
}
