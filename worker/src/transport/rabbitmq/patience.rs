//! How long a process waits for the confirms of a node.

use std::time::Duration;

use tokio::time::Instant;

/// The time limit of the confirms of a batch, on a connection that is not blocked. Then the session counts as broken.
/// Heartbeats detect a stalled network earlier.
const CONFIRM_WITHIN: Duration = Duration::from_secs(30);

/// The same in a cluster, where the process goes on to another node: a cut-off or frozen node confirms nothing, and
/// delivers no announcement. An election takes a second or two. Doubled, up to [`CONFIRM_WITHIN`], after every node has
/// confirmed nothing, because then the disks are slow.
const CONFIRM_WITHIN_CLUSTER: Duration = Duration::from_secs(3);

/// How often a process tries to open a session before it leaves a node.
const TRIES: u32 = 3;

/// How long a process waits for confirms.
pub(super) struct Patience {
    nodes: usize,
    /// How often a node has confirmed nothing in time, since a node last confirmed something.
    stalls: usize,
    pub(super) confirm_within: Duration,
    /// When the broker last confirmed something.
    pub(super) confirmed: Instant,
}

impl Patience {
    pub(super) fn new(nodes: usize) -> Self {
        let confirm_within = if nodes > 1 { CONFIRM_WITHIN_CLUSTER } else { CONFIRM_WITHIN };
        Self { nodes, stalls: 0, confirm_within, confirmed: Instant::now() }
    }

    /// The broker has confirmed a message.
    pub(super) fn on_confirm(&mut self) {
        *self = Self::new(self.nodes);
    }

    /// A node did not confirm in time.
    pub(super) fn on_stall(&mut self) {
        self.stalls += 1;
        if self.stalls.is_multiple_of(self.nodes) {
            self.confirm_within = (self.confirm_within * 2).min(CONFIRM_WITHIN);
        }
    }

    /// The time limit of one try to open a session, of which several are made in a cluster: a node answers a request that
    /// it sent to a lost leader only after many seconds.
    pub(super) fn try_within(&self) -> Duration {
        if self.nodes > 1 { self.confirm_within / TRIES } else { Duration::MAX }
    }

    /// The time limit of opening a session: on a single broker it may wait for the queues.
    pub(super) const fn open_within(&self) -> Duration {
        if self.nodes > 1 { self.confirm_within } else { Duration::MAX }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_waits_longer_only_after_every_node_has_confirmed_nothing() {
        let mut patience = Patience::new(3);
        let mut waits = Vec::new();
        for _ in 0..15 {
            waits.push(patience.confirm_within.as_secs());
            patience.on_stall();
        }
        assert_eq!(waits, [3, 3, 3, 6, 6, 6, 12, 12, 12, 24, 24, 24, 30, 30, 30]);
        patience.on_confirm();
        assert_eq!(patience.confirm_within, CONFIRM_WITHIN_CLUSTER);
        assert_eq!(Patience::new(1).confirm_within, CONFIRM_WITHIN);
    }
}
