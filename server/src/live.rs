//! Telling whoever waits: over a socket, as server-sent events, or by an answer that takes its time.

pub(crate) mod events;
pub(crate) mod protocol;
pub(crate) mod socket;
pub(crate) mod wait;
