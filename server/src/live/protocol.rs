//! The sub-protocol `up.v1`: UTF-8 JSON text frames. Receivers ignore fields and types that they do not know; a
//! breaking change is `up.v2` beside this one.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::IntoStaticStr;
use worker::{State, Upload};

/// The name of the sub-protocol.
pub(crate) const NAME: &str = "up.v1";

/// The longest frame that a client may send, in bytes: 500 ids need 20 kB.
pub(crate) const MAX_CLIENT_BYTES: usize = 32 * 1024;

/// Uploads that one socket may wait for: more than a page shows.
pub(crate) const MAX_IDS: usize = 500;

/// How often the server pings: proxies cut what is silent for a minute.
pub(crate) const PING_EVERY: Duration = Duration::from_secs(25);

/// How long a pong may take.
pub(crate) const PONG_WITHIN: Duration = Duration::from_secs(20);

/// How often a client polls that has no socket, in milliseconds.
pub(crate) const POLL_MS: u64 = 2000;

/// Why a socket is closed, as the client is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub(crate) enum Close {
    /// The server is about to stop; come back after `retry_ms`.
    Restart = 1012,
    /// No pong.
    Silent = 4008,
    /// What was sent to it was not read.
    Slow = 4013,
    /// There are as many sockets as there may be, in all or of this client.
    Crowded = 4029,
    /// What it sent is no message.
    Malformed = 4500,
    /// It does not speak a protocol that is spoken here.
    Protocol = 4506,
}

impl Close {
    /// The label in metrics: the variant in lower case.
    pub(crate) fn name(self) -> &'static str {
        self.into()
    }
}

/// What the server says.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub(crate) enum ServerMessage<'a> {
    /// The first message of a socket.
    Welcome {
        /// How often the server pings. Silence for much longer means that the socket is dead.
        ping_ms: u64,
        /// Uploads that one socket may wait for.
        max_ids: usize,
        /// How often a client polls that has no socket.
        poll_ms: u64,
    },
    /// Answers a subscription: how its uploads stand.
    Snapshot {
        /// That of the subscription.
        #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
        reference: Option<u64>,
        uploads: &'a [Upload],
        /// What is no upload here.
        unknown: &'a [String],
    },
    /// An upload became `ready`.
    ThumbnailReady { upload: &'a Upload },
    /// An upload is `queued` or `processing`.
    UploadChanged { upload: &'a Upload },
    /// An upload became `failed`.
    UploadFailed { upload: &'a Upload },
    /// Wants a pong with the same `t`.
    Ping { t: u64 },
    /// Answers a ping.
    Pong { t: u64 },
    /// A subscription was not taken, or not wholly.
    Error {
        /// That of the subscription.
        #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
        reference: Option<u64>,
        /// For programs: `too-many-ids` or `unavailable`.
        code: &'static str,
        /// For people.
        title: &'static str,
    },
    /// The server closes the socket now.
    Bye {
        /// Why: `restart`.
        reason: &'static str,
        /// When to come back.
        retry_ms: u64,
    },
}

impl<'a> ServerMessage<'a> {
    /// The first message of a socket.
    pub(crate) fn welcome() -> Self {
        let ping_ms = u64::try_from(PING_EVERY.as_millis()).expect("half a minute fits");
        Self::Welcome { ping_ms, max_ids: MAX_IDS, poll_ms: POLL_MS }
    }

    /// What tells a state; its type follows from the state.
    pub(crate) const fn news(upload: &'a Upload) -> Self {
        match upload.state {
            State::Ready => Self::ThumbnailReady { upload },
            State::Failed => Self::UploadFailed { upload },
            State::Queued | State::Processing => Self::UploadChanged { upload },
        }
    }

    /// The value of `type`, which names a server-sent event too.
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Welcome { .. } => "welcome",
            Self::Snapshot { .. } => "snapshot",
            Self::ThumbnailReady { .. } => "thumbnail-ready",
            Self::UploadChanged { .. } => "upload-changed",
            Self::UploadFailed { .. } => "upload-failed",
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

/// What a client says.
#[derive(Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub(crate) enum ClientMessage {
    /// Wants to be told of these uploads, beginning with a snapshot.
    Subscribe {
        /// Comes back with the answer.
        #[serde(rename = "ref")]
        reference: Option<u64>,
        ids: Vec<String>,
    },
    /// Waits for these no longer.
    Unsubscribe { ids: Vec<String> },
    /// Wants a pong with the same `t`.
    Ping { t: u64 },
    /// Answers a ping.
    Pong {
        #[serde(default)]
        t: u64,
    },
    /// Of a later protocol: ignored.
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
    fn client_messages_parse_and_what_is_unknown_is_ignored() {
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
