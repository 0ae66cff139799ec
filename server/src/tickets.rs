//! Tickets: keys that are limited in time, files and bytes, and `up-server ticket`.
//!
//! ```text
//! upt_<payload>.<tag>      payload: the limits as JSON, tag: its HMAC; both in URL-safe base64
//! ```
//!
//! The HMAC is made with the secrets that all servers share, so a ticket is stored nowhere. Its uses are: one object in
//! storage for each.

use anyhow::{Context, ensure};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use jiff::Timestamp;
use qrcode::{QrCode, render::unicode};
use serde::{Deserialize, Serialize};
use worker::{Storage, TicketId, TicketLimits, clock};

use crate::{
    config::Config,
    ticket_args::{TicketArgs, TicketLane},
    tokens::Secrets,
};

/// How every ticket begins.
const PREFIX: &str = "upt_";

/// The permission that a ticket gives. It is part of the HMAC, so that no token of another kind is one.
const PURPOSE: &[u8] = b"up!.ticket.v1:";

/// The longest note, in characters: it is in records and logs.
const MAX_NOTE_CHARS: usize = 64;

/// The longest ticket, in bytes: the limits take about 110, a note in four bytes a character 256, and base64 a third
/// more.
const MAX_TICKET_BYTES: usize = 800;

/// A valid ticket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ticket {
    pub(crate) limits: TicketLimits,
    pub(crate) is_bulk: bool,
    pub(crate) note: String,
}

/// The signed part of a ticket.
#[derive(Serialize, Deserialize)]
struct Payload {
    id: String,
    /// Seconds since 1970.
    until: i64,
    files: u32,
    bytes: u64,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    bulk: bool,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    note: String,
}

/// Why a ticket is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TicketError {
    /// It was not made by this service, or it was changed.
    Forged,
    /// Its time is over.
    Late,
}

/// Whether a key is meant to be a ticket.
pub(crate) fn is_ticket(key: &str) -> bool {
    key.starts_with(PREFIX)
}

/// Reads a ticket.
pub(crate) fn read(secrets: &Secrets, text: &str, now: Timestamp) -> Result<Ticket, TicketError> {
    let ticket = parse(secrets, text).ok_or(TicketError::Forged)?;
    if now < ticket.limits.until { Ok(ticket) } else { Err(TicketError::Late) }
}

fn parse(secrets: &Secrets, text: &str) -> Option<Ticket> {
    let (payload, tag) =
        text.strip_prefix(PREFIX).filter(|_| text.len() <= MAX_TICKET_BYTES)?.split_once('.')?;
    if !secrets.verifies(PURPOSE, payload.as_bytes(), tag) {
        return None;
    }
    let payload: Payload = serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(payload).ok()?).ok()?;
    let limits = TicketLimits {
        id: payload.id.parse().ok()?,
        until: Timestamp::from_second(payload.until).ok()?,
        files: payload.files,
        bytes: payload.bytes,
    };
    Some(Ticket { limits, is_bulk: payload.bulk, note: payload.note })
}

fn write(secrets: &Secrets, ticket: &Ticket, now: Timestamp) -> String {
    let payload = Payload {
        id: ticket.limits.id.to_string(),
        until: ticket.limits.until.as_second(),
        files: ticket.limits.files,
        bytes: ticket.limits.bytes,
        bulk: ticket.is_bulk,
        note: ticket.note.clone(),
    };
    let payload = serde_json::to_vec(&payload).expect("numbers and texts are written as JSON");
    let payload = BASE64_URL_SAFE_NO_PAD.encode(payload);
    let tag = secrets.sign(PURPOSE, payload.as_bytes(), now);
    format!("{PREFIX}{payload}.{tag}")
}

/// `up-server ticket`: prints a link that the page opens with.
///
/// # Errors
/// When the note is too long, or storage fails.
pub async fn run(config: &Config, arguments: &TicketArgs) -> anyhow::Result<()> {
    let TicketArgs { valid_for, files, lane, note, qr, .. } = arguments;
    ensure!(
        note.chars().count() <= MAX_NOTE_CHARS && !note.chars().any(char::is_control),
        "the note is longer than {MAX_NOTE_CHARS} characters, or has control characters"
    );
    let all_files = config.max_upload_bytes.saturating_mul(u64::from(*files));
    let now = clock::now();
    let limits = TicketLimits {
        id: TicketId(rand::random()),
        until: now.checked_add(*valid_for).context("the time is too long")?,
        files: *files,
        bytes: arguments.bytes.unwrap_or(all_files),
    };
    let url = config.storage_url();
    let secrets = Storage::open(&url)?.delete_secrets().await.context("could not read the secrets")?;
    let ticket = Ticket { limits, is_bulk: *lane == TicketLane::Bulk, note: note.clone() };
    let ticket = write(&Secrets::from(secrets), &ticket, now);
    let base = match &config.public_url {
        Some(url) => url.as_str().trim_end_matches('/').to_owned(),
        None => format!("http://{}", config.listen),
    };
    let link = format!("{base}/?key={ticket}");
    println!("{link}");
    if config.public_url.is_none() && (config.listen.ip().is_unspecified() || config.listen.port() == 0) {
        eprintln!(
            "The link names {}, where nobody can open it. Set --public-url to the address of the page.",
            config.listen
        );
    }
    if *qr {
        let code = QrCode::new(&link).context("could not draw the QR code")?;
        println!("{}", code.render::<unicode::Dense1x2>().build());
    }
    if config.upload_keys.is_none() {
        eprintln!("Without --upload-keys a server takes uploads from everybody, and ignores tickets.");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokens::tests::{OLD, secret, secrets};

    fn ticket() -> Ticket {
        let limits = TicketLimits {
            id: TicketId(0x5eed),
            until: Timestamp::from_second(2_000_000_000).unwrap(),
            files: 5,
            bytes: 10 << 20,
        };
        Ticket { limits, is_bulk: true, note: "wedding 💒".into() }
    }

    #[test]
    fn a_ticket_is_valid_until_its_end_and_not_a_second_longer() {
        let secrets = secrets([secret(1, OLD)]);
        let text = write(&secrets, &ticket(), clock::now());
        assert!(is_ticket(&text) && text.len() <= MAX_TICKET_BYTES);
        let at = |second| read(&secrets, &text, Timestamp::from_second(second).unwrap());
        assert_eq!(at(1_999_999_999), Ok(ticket()));
        assert_eq!(at(2_000_000_000), Err(TicketError::Late));
    }

    #[test]
    fn a_changed_ticket_or_one_of_another_service_is_forged() {
        let ours = secrets([secret(1, OLD)]);
        let text = write(&ours, &ticket(), clock::now());
        let now = clock::now();
        let others = secrets([secret(2, OLD)]);
        assert_eq!(read(&others, &text, now), Err(TicketError::Forged));
        let more = Ticket { limits: TicketLimits { files: 500, ..ticket().limits }, ..ticket() };
        let (payload, _) = write(&ours, &more, now)
            .split_once('.')
            .map(|(payload, tag)| (payload.to_owned(), tag.to_owned()))
            .unwrap();
        let (_, tag) = text.split_once('.').unwrap();
        for forged in [
            format!("{payload}.{tag}"),
            text[..text.len() - 1].to_owned(),
            payload,
            "upt_".into(),
            "upt_.".into(),
        ] {
            assert_eq!(read(&ours, &forged, now), Err(TicketError::Forged), "{forged}");
        }
        let rotated = secrets([secret(1, OLD), secret(2, OLD)]);
        assert_eq!(read(&rotated, &text, now), Ok(ticket()), "a rotation keeps it valid");
    }
}
