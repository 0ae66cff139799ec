//! The sub-protocol `up.v1`: UTF-8 JSON text frames. Receivers ignore unknown fields and types. A breaking change
//! becomes `up.v2`, served beside this one.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::{IntoStaticStr, VariantArray};
use worker::{State, Upload};

/// The name of the sub-protocol.
pub(crate) const NAME: &str = "up.v1";

/// The longest frame that a client may send, in bytes: 500 ids need 20 kB.
pub(crate) const MAX_CLIENT_BYTES: usize = 32 * 1024;

/// The maximum number of subscriptions of one socket: more than a page shows.
pub(crate) const MAX_IDS: usize = 500;

/// How often the server pings: proxies close connections that are idle for a minute.
pub(crate) const PING_EVERY: Duration = Duration::from_secs(25);

/// How long a pong may take.
pub(crate) const PONG_WITHIN: Duration = Duration::from_secs(20);

/// The polling interval of clients without a socket, in milliseconds.
pub(crate) const POLL_MS: u64 = 2000;

/// The reason for which the server closes a socket, with its close code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "lowercase")]
pub(crate) enum Close {
    /// The server is shutting down; the client reconnects after `retry_ms`.
    Restart = 1012,
    /// No pong arrived in time.
    Silent = 4008,
    /// The client did not read its messages in time.
    Slow = 4013,
    /// The quota of sockets is used up, for the server or for this client.
    #[strum(serialize = "crowded")]
    TooManySockets = 4029,
    /// The client sent an invalid message.
    Malformed = 4500,
    /// The client offered no supported sub-protocol.
    Protocol = 4506,
}

impl Close {
    /// The label in metrics: the variant in lower case, unless it names another.
    pub(crate) fn name(self) -> &'static str {
        self.into()
    }
}

/// A message from the server.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub(crate) enum ServerMessage<'a> {
    /// The first message of a socket.
    Welcome {
        /// How often the server pings. If nothing arrives for much longer, the socket is dead.
        ping_ms: u64,
        /// The maximum number of subscriptions of one socket.
        max_ids: usize,
        /// The polling interval of clients without a socket.
        poll_ms: u64,
    },
    /// Answers a subscription with the states of its uploads.
    Snapshot {
        /// The `ref` of the subscription.
        #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
        reference: Option<u64>,
        uploads: &'a [Upload],
        /// Ids of which this server knows no upload.
        unknown: &'a [String],
    },
    /// An upload became `ready`.
    ThumbnailReady { upload: &'a Upload },
    /// An upload is `queued` or `processing`.
    UploadChanged { upload: &'a Upload },
    /// An upload became `failed`.
    UploadFailed { upload: &'a Upload },
    /// An upload was deleted: `id`, `gen` and `state` are all that is left of it.
    UploadGone { upload: &'a Upload },
    /// Requests a pong with the same `t`.
    Ping { t: u64 },
    /// Answers a ping.
    Pong { t: u64 },
    /// A subscription was refused, or some of its uploads could not be read.
    Error {
        /// The `ref` of the subscription.
        #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
        reference: Option<u64>,
        /// The error for programs: `too-many-ids`, `slow-down` or `unavailable`.
        code: &'static str,
        /// The error as a sentence for people.
        title: &'static str,
    },
    /// The server closes the socket now.
    Bye {
        /// The reason: `restart`.
        reason: &'static str,
        /// The delay before the client reconnects.
        retry_ms: u64,
    },
}

impl<'a> ServerMessage<'a> {
    /// The first message of a socket.
    pub(crate) fn welcome() -> Self {
        let ping_ms = u64::try_from(PING_EVERY.as_millis()).expect("half a minute fits");
        Self::Welcome { ping_ms, max_ids: MAX_IDS, poll_ms: POLL_MS }
    }

    /// The message for a state; the state decides its type.
    pub(crate) const fn news(upload: &'a Upload) -> Self {
        match upload.state {
            State::Ready => Self::ThumbnailReady { upload },
            State::Failed => Self::UploadFailed { upload },
            State::Gone => Self::UploadGone { upload },
            State::Queued | State::Processing => Self::UploadChanged { upload },
        }
    }

    /// The value of `type`, which is also the name of the server-sent event.
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Welcome { .. } => "welcome",
            Self::Snapshot { .. } => "snapshot",
            Self::ThumbnailReady { .. } => "thumbnail-ready",
            Self::UploadChanged { .. } => "upload-changed",
            Self::UploadFailed { .. } => "upload-failed",
            Self::UploadGone { .. } => "upload-gone",
            Self::Ping { .. } => "ping",
            Self::Pong { .. } => "pong",
            Self::Error { .. } => "error",
            Self::Bye { .. } => "bye",
        }
    }

    /// The wire form.
    pub(crate) fn encode(&self) -> String {
        serde_json::to_string(self).expect("a message has only string keys and finite numbers")
    }
}

/// A message from a client.
#[derive(Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub(crate) enum ClientMessage {
    /// Subscribes to these uploads. The answer is a snapshot.
    Subscribe {
        /// Returned as the `ref` of the answer.
        #[serde(rename = "ref")]
        reference: Option<u64>,
        ids: Vec<String>,
    },
    /// Unsubscribes from these uploads.
    Unsubscribe { ids: Vec<String> },
    /// Requests a pong with the same `t`.
    Ping { t: u64 },
    /// Answers a ping.
    Pong {
        #[serde(default)]
        t: u64,
    },
    /// A type from a later protocol: ignored.
    #[serde(other)]
    #[schemars(skip)]
    Unknown,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Option<ClientMessage> {
        serde_json::from_str(text).ok()
    }

    #[test]
    fn client_messages_parse_and_unknown_fields_and_types_are_ignored() {
        let subscribe = ClientMessage::Subscribe { reference: Some(1), ids: vec!["x".into()] };
        assert_eq!(parsed(r#"{"type":"subscribe","ref":1,"ids":["x"],"new":true}"#), Some(subscribe));
        assert_eq!(parsed(r#"{"type":"pong","t":171}"#), Some(ClientMessage::Pong { t: 171 }));
        assert_eq!(parsed(r#"{"type":"wave","at":"you"}"#), Some(ClientMessage::Unknown));
        for malformed in
            ["", "[]", "7", r#"{"type":"subscribe"}"#, r#"{"ids":[]}"#, r#"{"type":"subscribe","ids":"x"}"#]
        {
            assert_eq!(parsed(malformed), None, "{malformed}");
        }
    }

    #[test]
    fn server_messages_have_their_documented_form() {
        let welcome = ServerMessage::welcome().encode();
        assert_eq!(welcome, r#"{"type":"welcome","ping_ms":25000,"max_ids":500,"poll_ms":2000}"#);
        let snapshot = ServerMessage::Snapshot { reference: Some(1), uploads: &[], unknown: &["x".into()] };
        assert_eq!(snapshot.encode(), r#"{"type":"snapshot","ref":1,"uploads":[],"unknown":["x"]}"#);
        let bye = ServerMessage::Bye { reason: "restart", retry_ms: 800 };
        assert_eq!(bye.encode(), r#"{"type":"bye","reason":"restart","retry_ms":800}"#);
        for message in [ServerMessage::Ping { t: 1 }, bye] {
            assert!(message.encode().contains(&format!(r#""type":"{}""#, message.kind())));
        }
    }
}
