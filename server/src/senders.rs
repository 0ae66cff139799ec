//! Who sends an upload: a key, a ticket, or a user whom a trusted proxy names.
//!
//! | setting | who may send |
//! | --- | --- |
//! | none | everybody |
//! | `--upload-keys` | holders of a key in the file, or of a ticket |
//! | `--trusted-user-header` | users whom a trusted proxy names in this header |
//! | both | senders that satisfy either |

use axum::http::{HeaderMap, HeaderName};
use headers::{
    Authorization, HeaderMapExt,
    authorization::{Basic, Bearer},
};
use jiff::Timestamp;
use worker::{StoredShare, TicketId, TicketLimits, UploadId, clock};

use crate::{
    budget::Budget,
    client::{Client, Peer},
    config::Config,
    keys::{KeyName, Keys},
    problem::Problem,
    tickets::{self, Ticket, TicketError},
    tokens::Secrets,
};

const DAY_SECONDS: i64 = 24 * 60 * 60;

/// The longest name of a user, in characters.
const MAX_USER_CHARS: usize = 64;

/// The sender of an upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Sender {
    Key(KeyName),
    User(String),
    Ticket(Ticket),
}

impl Sender {
    /// The name in records and in the log.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Key(name) => format!("key:{name}"),
            Self::User(name) => format!("user:{name}"),
            Self::Ticket(ticket) if ticket.note.is_empty() => format!("ticket:{}", ticket.limits.id),
            Self::Ticket(ticket) => format!("ticket:{} ({})", ticket.limits.id, ticket.note),
        }
    }

    /// Whether its uploads go to the bulk lane.
    pub(crate) fn asks_for_bulk(&self) -> bool {
        matches!(self, Self::Ticket(ticket) if ticket.is_bulk)
    }

    /// What the sender may send: a ticket its limits, and anybody else so many bytes until the day ends (UTC).
    pub(crate) fn limits(&self, bytes_per_day: Option<u64>, now: Timestamp) -> Option<TicketLimits> {
        if let Self::Ticket(ticket) = self {
            return Some(ticket.limits);
        }
        let until =
            Timestamp::from_second((now.as_second().div_euclid(DAY_SECONDS) + 1) * DAY_SECONDS).ok()?;
        let id = TicketId::of_sender(&self.name());
        bytes_per_day.map(|bytes| TicketLimits { id, until, files: u32::MAX, bytes })
    }

    /// The share of an upload in the stored bytes of its sender. Those of tickets are not counted.
    pub(crate) fn share(&self, id: UploadId, bytes: u64) -> Option<StoredShare> {
        let sender = TicketId::of_sender(&self.name());
        (!matches!(self, Self::Ticket(_))).then_some(StoredShare { sender, id, bytes })
    }

    /// The problem when the limits are used up.
    pub(crate) fn used_up(&self, limits: &TicketLimits, now: Timestamp) -> Problem {
        match self {
            Self::Ticket(_) => Problem::ticket_used_up(),
            Self::Key(_) | Self::User(_) => {
                let seconds = limits.until.as_second() - now.as_second();
                Problem::day_used_up(limits.bytes, u32::try_from(seconds).unwrap_or(1).max(1))
            }
        }
    }

    /// The value of the label `sender`: keys by name, because the file bounds their number, and the others together.
    pub(crate) fn label(&self) -> String {
        match self {
            Self::Key(name) => name.to_string(),
            Self::User(_) => "(user)".to_owned(),
            Self::Ticket(_) => "(ticket)".to_owned(),
        }
    }
}

/// The settings about senders.
pub(crate) struct Senders {
    keys: Option<Keys>,
    user_header: Option<HeaderName>,
    wrong_keys: Budget,
}

impl Senders {
    /// Reads the file of keys, if one is set.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(crate) fn open(config: &Config) -> anyhow::Result<Self> {
        let keys = config.upload_keys.as_deref().map(Keys::open).transpose()?;
        let user_header = config.trusted_user_header.clone();
        anyhow::ensure!(
            user_header.is_none() || !config.trusted_proxies.is_empty(),
            "--trusted-user-header needs --trusted-proxies: without them everybody could set it"
        );
        Ok(Self { keys, user_header, wrong_keys: Budget::of_wrong_keys() })
    }

    /// Whether uploads need a sender.
    pub(crate) fn are_needed(&self) -> bool {
        self.keys.is_some() || self.user_header.is_some()
    }

    /// Whether the page must ask for a key. A proxy that signs people in leaves it nothing to ask for.
    pub(crate) fn is_key_needed(&self) -> bool {
        self.keys.is_some() && self.user_header.is_none()
    }

    /// Whether a client has some of its wrong guesses left.
    ///
    /// # Errors
    /// When it has none.
    pub(crate) fn check_guesses(&self, client: Client) -> Result<(), Problem> {
        if self.wrong_keys.allows(client) { Ok(()) } else { Err(Problem::too_many_wrong_keys()) }
    }

    /// Charges a client for a wrong key or delete token.
    pub(crate) fn charge_guess(&self, client: Client) {
        self.wrong_keys.charge(client);
    }

    /// The keys, if there are any.
    pub(crate) fn keys(&self) -> Option<&Keys> {
        self.keys.as_ref()
    }

    /// The sender that the headers name; `None` if they name nobody.
    pub(crate) fn of_headers(
        &self,
        headers: &HeaderMap,
        is_trusted_peer: bool,
        client: Client,
        secrets: &Secrets,
    ) -> Result<Option<Sender>, Problem> {
        if let Some(user) = self.user(headers).filter(|_| is_trusted_peer) {
            return Ok(Some(Sender::User(user)));
        }
        if self.keys.is_none() {
            return Ok(None);
        }
        match key_of(headers) {
            Some(key) => self.of_key(&key, client, secrets).map(Some),
            None => Ok(None),
        }
    }

    fn user(&self, headers: &HeaderMap) -> Option<String> {
        let mut values = headers.get_all(self.user_header.as_ref()?).iter();
        // Of two names one may be the client's own, which a proxy let through.
        let (Some(value), None) = (values.next(), values.next()) else { return None };
        let value = str::from_utf8(value.as_bytes()).ok()?;
        let user: String = value.trim().chars().take(MAX_USER_CHARS).collect();
        (!user.is_empty() && !user.contains(char::is_control)).then_some(user)
    }

    /// The sender with this key.
    pub(crate) fn of_key(&self, key: &str, client: Client, secrets: &Secrets) -> Result<Sender, Problem> {
        self.check_guesses(client)?;
        let found = if self.keys.is_none() {
            None
        } else if tickets::is_ticket(key) {
            match tickets::read(secrets, key, clock::now()) {
                Ok(ticket) => Some(Sender::Ticket(ticket)),
                Err(TicketError::Late) => return Err(Problem::ticket_late()),
                Err(TicketError::Forged) => None,
            }
        } else {
            self.keys.as_ref().and_then(|keys| keys.name_of(key)).map(Sender::Key)
        };
        found.ok_or_else(|| {
            self.charge_guess(client);
            Problem::wrong_key()
        })
    }
}

/// The key in `Authorization`: a bearer's token, or the password of `curl -u :KEY`.
fn key_of(headers: &HeaderMap) -> Option<String> {
    if let Some(bearer) = headers.typed_get::<Authorization<Bearer>>() {
        return Some(bearer.token().to_owned());
    }
    let basic = headers.typed_get::<Authorization<Basic>>()?;
    Some(basic.password().to_owned())
}

impl Peer {
    /// Whether its headers about users are believed.
    pub(crate) fn may_name_users(self, config: &Config) -> bool {
        self.is_trusted(&config.trusted_proxies)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use axum::http::{HeaderValue, header};
    use clap::Parser;

    use super::*;
    use crate::tokens::tests::{OLD, secret, secrets};

    const HASH: &str = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

    fn senders(arguments: &[&str]) -> anyhow::Result<Senders> {
        Senders::open(&Config::parse_from([&["up-server"], arguments].concat()))
    }

    fn headers(name: HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_str(value).unwrap())])
    }

    #[test]
    fn a_key_is_read_from_both_schemes_and_a_wrong_one_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keys");
        fs::write(&path, format!("alice {HASH}\n")).unwrap();
        let senders = senders(&["--upload-keys", path.to_str().unwrap()]).unwrap();
        let secrets = secrets([secret(1, OLD)]);
        let client = Client::at([192, 0, 2, 1].into());
        let of =
            |value: &str| senders.of_headers(&headers(header::AUTHORIZATION, value), false, client, &secrets);
        // `printf :test | base64`, and with a name before the colon.
        for right in ["Bearer test", "bearer test", "Basic OnRlc3Q=", "Basic YWxpY2U6dGVzdA=="] {
            assert_eq!(
                of(right).unwrap().map(|sender| sender.name()).as_deref(),
                Some("key:alice"),
                "{right}"
            );
        }
        for wrong in ["Bearer other", "Basic OnRlc3Rz", "Bearer upt_forged"] {
            assert_eq!(of(wrong).unwrap_err().kind(), "wrong-key", "{wrong}");
        }
        assert!(of("Digest test").unwrap().is_none());
        assert!(senders.of_headers(&HeaderMap::new(), false, client, &secrets).unwrap().is_none());
        let refused = (0..100).find(|_| of("Bearer other").unwrap_err().kind() == "too-many-wrong-keys");
        assert!(refused.is_some(), "guesses are limited");
        assert_eq!(
            of("Bearer test").unwrap_err().kind(),
            "too-many-wrong-keys",
            "a right guess tells nothing"
        );
        let other = Client::at([192, 0, 2, 2].into());
        assert!(senders.of_key("test", other, &secrets).is_ok(), "another client");
    }

    #[test]
    fn only_a_trusted_proxy_names_users() {
        assert!(senders(&["--trusted-user-header", "X-User"]).is_err());
        let senders =
            senders(&["--trusted-user-header", "X-User", "--trusted-proxies", "10.0.0.0/8"]).unwrap();
        let (client, secrets) = (Client::at([192, 0, 2, 1].into()), secrets([secret(1, OLD)]));
        let headers = headers(HeaderName::from_static("x-user"), " carol ");
        let of = |is_trusted| senders.of_headers(&headers, is_trusted, client, &secrets).unwrap();
        assert_eq!(of(true), Some(Sender::User("carol".into())));
        assert_eq!(of(false), None);
    }
}
