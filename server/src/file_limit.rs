//! The open-file limit, and the connections, sockets and uploads that fit into it.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::warn;

/// Open files that are neither connections nor uploads: storage, the queue, pipes of workers, and a reserve. At most half
/// of a low limit.
const OTHER_FILES: u64 = 1024;

/// The fewest open files that a server starts with: below it hardly a client would be served.
const FEWEST: u64 = 512;

/// Files that clients hold open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Files {
    /// Connections, a file each.
    pub(crate) connections: usize,
    /// Sockets and event streams, a file each.
    pub(crate) sockets: usize,
    /// Uploads in flight: each has a staged file beside its connection.
    pub(crate) uploads: usize,
}

/// Raises the open-file limit to its maximum. Returns it.
fn raise() -> u64 {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        warn!(%error, "could not raise the open-file limit");
    }
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// Checks that the open-file limit lets a server start.
///
/// # Errors
/// When it is too low.
pub(crate) fn check() -> anyhow::Result<()> {
    let limit = raise();
    anyhow::ensure!(
        limit >= FEWEST,
        "the open-file limit is {limit}, and a server needs {FEWEST}: raise it with ulimit -n or LimitNOFILE"
    );
    Ok(())
}

/// Raises the open-file limit to its maximum, and reduces `wanted` in proportion if it does not fit.
pub(crate) fn fit_open_files(wanted: Files) -> Files {
    let limit = raise();
    let fitting = fit(wanted, limit);
    if fitting != wanted {
        warn!(
            limit,
            connections = fitting.connections,
            sockets = fitting.sockets,
            uploads = fitting.uploads,
            "the open-file limit allows fewer connections, sockets and uploads than are set; raise it with ulimit -n or LimitNOFILE",
        );
    }
    fitting
}

fn fit(wanted: Files, limit: u64) -> Files {
    let room = u128::from(limit - OTHER_FILES.min(limit / 2));
    let all = (wanted.connections + wanted.sockets + wanted.uploads) as u128;
    if all <= room {
        return wanted;
    }
    let share = |count: usize| usize::try_from(count as u128 * room / all).unwrap_or(count).max(1);
    Files {
        connections: share(wanted.connections),
        sockets: share(wanted.sockets),
        uploads: share(wanted.uploads),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WANTED: Files = Files { connections: 8192, sockets: 10_000, uploads: 512 };

    #[test]
    fn everything_fits_below_the_limit() {
        assert_eq!(fit(WANTED, 20_000), WANTED);
        assert_eq!(fit(WANTED, u64::MAX), WANTED);
    }

    #[test]
    fn a_low_limit_is_shared_in_proportion() {
        let fitting = fit(WANTED, OTHER_FILES + 9352);
        assert_eq!(fitting, Files { connections: 4096, sockets: 5000, uploads: 256 });
        let fewest = fit(WANTED, FEWEST);
        assert_eq!(fewest, Files { connections: 112, sockets: 136, uploads: 7 });
        assert_eq!(fit(WANTED, 0), Files { connections: 1, sockets: 1, uploads: 1 });
    }
}
