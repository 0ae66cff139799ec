//! Notification of subscribers: over a socket, as server-sent events, or by long polling.

pub(crate) mod events;
pub(crate) mod protocol;
pub(crate) mod socket;
pub(crate) mod wait;
