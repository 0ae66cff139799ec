//! The parts of a form, within limits. `multer` limits only the number of headers of a part. It would buffer any number
//! of bytes before the first part and between two parts.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
};

use axum::{
    body::Body,
    http::{HeaderMap, header},
};
use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt};
use multer::{Constraints, Multipart, SizeLimit};
use worker::probe::{self, Sniff};

use super::{
    body::{BodyError, PacedBody, body_problem},
    chunks::CHUNK_BYTES,
    disposition::Disposition,
    name,
};
use crate::problem::Problem;

/// The maximum number of parts of a form, files and fields together. The page sends one file per request; only scripts
/// send many.
const MAX_PARTS: usize = 1000;

/// The maximum overhead of a form beside its files, in bytes.
const FORM_OVERHEAD_BYTES: u64 = 4 * 1024 * 1024;

/// The maximum size of the headers of one part, in bytes, with the file's name. Browsers send a few hundred; a name has
/// at most 255, and percent-encoding triples them.
const MAX_HEADER_BYTES: usize = 8 * 1024;

/// The maximum number of bytes that are read to find the next part: its headers, and two pieces of the body, which may
/// hold data before and behind them. All of it is held in memory.
pub(super) const SEARCHED_BYTES: usize = MAX_HEADER_BYTES + 2 * CHUNK_BYTES;

/// Bytes that are gathered before they are searched for the next part. `multer` searches all that it holds each time, so
/// a client that sends one byte at a time would cost a search a byte.
const GATHERED_BYTES: usize = 4 * 1024;

/// The field that says when the files after it expire.
const EXPIRES: &str = "expires";

/// The field with the key of the sender.
const KEY: &str = "key";

/// The longest number of seconds, and the longest key, in bytes: a ticket takes at most 800.
pub(super) const MAX_EXPIRES_BYTES: usize = 64;
pub(super) const MAX_KEY_BYTES: usize = 1024;

/// The longest boundary, in bytes (RFC 2046 §5.1.1).
const MAX_BOUNDARY_BYTES: usize = 70;

/// A form as it arrives.
pub(crate) struct Form {
    multipart: Multipart<'static>,
    body: SharedBody,
    parts_started: usize,
}

impl Form {
    /// A form in this body, with a limit in bytes for each file.
    pub(crate) fn new(body: Body, boundary: String, max_file_bytes: u64) -> Self {
        let limit = max_file_bytes.saturating_mul(MAX_PARTS as u64).saturating_add(FORM_OVERHEAD_BYTES);
        let constraints = Constraints::new().size_limit(SizeLimit::new().whole_stream(limit));
        let body = SharedBody::new(PacedBody::new(body));
        let multipart = Multipart::with_constraints(body.clone(), boundary, constraints);
        Self { multipart, body, parts_started: 0 }
    }

    /// The next part. The previous one must have been read to its end, or [skipped](Part::skip).
    pub(crate) async fn next(&mut self) -> Result<Option<Part>, Problem> {
        self.body.allow(SEARCHED_BYTES as u64);
        let (body, multipart) = (&self.body, &mut self.multipart);
        let next = poll_fn(|context| body.poll_buffered_first(|| multipart.poll_next_field(context))).await;
        self.body.allow(u64::MAX);
        let Some(field) = next.map_err(|error| form_problem(&error))? else { return Ok(None) };
        self.parts_started += 1;
        if self.parts_started > MAX_PARTS {
            return Err(Problem::too_many_parts(MAX_PARTS));
        }
        if bytes_of(field.headers()) > MAX_HEADER_BYTES {
            return Err(Problem::malformed("The headers of a part are too long."));
        }
        Ok(Some(Part { field, body: self.body.clone(), beginning: BytesMut::new() }))
    }

    /// The unread rest of the body.
    pub(crate) fn into_rest(self) -> Option<PacedBody> {
        self.body.take_body()
    }
}

/// A part, with its data as it arrives.
pub(crate) struct Part {
    field: multer::Field<'static>,
    body: SharedBody,
    /// Bytes that were read to detect the kind of the part. They are returned before the rest.
    beginning: BytesMut,
}

/// The kind of a part.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum PartKind {
    /// A file of this name.
    File(String),
    /// A field of the form, or a file input without a file.
    Field(Field),
}

/// A field of a form.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Field {
    /// When the files after it expire.
    Expires,
    /// The key of the sender.
    Key,
    /// Any other.
    Other,
}

impl Part {
    /// Detects whether the part is a file. A part is a file if it has a file name, if its field is named `file`, if its
    /// declared type is a picture, bytes or parts of its own, or if its first bytes are those of a picture or of no text: no
    /// picture of any kind is left out in silence. Browsers send an empty file name for an empty file input:
    /// such a part is a file if it has bytes.
    pub(crate) async fn kind(&mut self) -> Result<PartKind, multer::Error> {
        let disposition = self.field.headers().get(header::CONTENT_DISPOSITION);
        let Disposition { field, file } =
            disposition.map(|value| Disposition::parse(value.as_bytes())).unwrap_or_default();
        if let Some(name) = file.as_deref().filter(|name| !name.is_empty()) {
            return Ok(PartKind::File(name::clean_of_form(name)));
        }
        let is_declared = self.field.content_type().is_some_and(|declared| {
            matches!(declared.type_().as_str(), "image" | "multipart")
                || declared.essence_str() == "application/octet-stream"
        });
        let is_empty_input = file.is_some();
        if !is_empty_input && (is_declared || field.as_deref() == Some("file")) {
            return Ok(PartKind::File(name::clean("")));
        }
        while self.beginning.len() < probe::SNIFF_BYTES
            && let Some(piece) = self.next_of_field().await
        {
            self.beginning.extend_from_slice(&piece?);
        }
        let is_file = if is_empty_input {
            !self.beginning.is_empty()
        } else {
            matches!(probe::sniff(&self.beginning), Sniff::Format(_)) || is_binary(&self.beginning)
        };
        Ok(match field.as_deref() {
            _ if is_file => PartKind::File(name::clean("")),
            Some(EXPIRES) => PartKind::Field(Field::Expires),
            Some(KEY) => PartKind::Field(Field::Key),
            _ => PartKind::Field(Field::Other),
        })
    }

    async fn next_of_field(&mut self) -> Option<multer::Result<Bytes>> {
        poll_fn(|context| self.poll_field(context)).await
    }

    fn poll_field(&mut self, context: &mut Context<'_>) -> Poll<Option<multer::Result<Bytes>>> {
        let Self { field, body, .. } = self;
        body.poll_buffered_first(|| field.poll_next_unpin(context))
    }

    /// Reads a field of at most so many bytes as text.
    pub(crate) async fn text(mut self, most: usize) -> Result<String, Problem> {
        let mut text = Vec::new();
        while let Some(piece) = self.next().await {
            text.extend_from_slice(&piece.map_err(|error| form_problem(&error))?);
            if text.len() > most {
                return Err(Problem::malformed("A field of the form is too long."));
            }
        }
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    /// Reads and discards the rest of the part.
    pub(crate) async fn skip(mut self) -> Result<(), Problem> {
        while let Some(piece) = self.next().await {
            piece.map_err(|error| form_problem(&error))?;
        }
        Ok(())
    }
}

impl Stream for Part {
    type Item = multer::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if !self.beginning.is_empty() {
            return Poll::Ready(Some(Ok(self.beginning.split().freeze())));
        }
        self.poll_field(context)
    }
}

/// The boundary of a form. Clients send it with or without quotes, even if RFC 2045 requires quotes for its characters.
pub(super) fn boundary(content_type: &str) -> Option<String> {
    let mut parsed = mailparse::parse_content_type(content_type);
    parsed.params.remove("boundary").filter(|boundary| (1..=MAX_BOUNDARY_BYTES).contains(&boundary.len()))
}

/// The answer to a form that cannot be read further.
pub(super) fn form_problem(error: &multer::Error) -> Problem {
    match error {
        multer::Error::StreamReadFailed(source) => match source.downcast_ref::<BodyError>() {
            Some(error) => body_problem(error),
            None => Problem::malformed("The body broke off."),
        },
        multer::Error::StreamSizeExceeded { limit } => Problem::too_large(*limit),
        other => Problem::malformed(format!("The form is malformed: {other}.")),
    }
}

/// Whether bytes have a control character that texts do not have.
fn is_binary(bytes: &[u8]) -> bool {
    bytes.iter().any(|byte| byte.is_ascii_control() && !byte.is_ascii_whitespace())
}

fn bytes_of(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum()
}

/// A body that `multer` reads, and that can be taken from it again for draining.
#[derive(Clone)]
struct SharedBody {
    body: Arc<Mutex<Option<PacedBody>>>,
    /// The number of bytes that may still be read.
    allowed: Arc<AtomicU64>,
    /// Whether `multer` may read from the body now.
    may_read: Arc<AtomicBool>,
    /// Whether the last poll returned a piece.
    returned_piece: bool,
    /// Small pieces, until they are searched together.
    gathered: BytesMut,
}

impl SharedBody {
    fn new(body: PacedBody) -> Self {
        Self {
            body: Arc::new(Mutex::new(Some(body))),
            allowed: Arc::new(AtomicU64::new(u64::MAX)),
            may_read: Arc::default(),
            returned_piece: false,
            gathered: BytesMut::new(),
        }
    }

    fn allow(&self, bytes: u64) {
        self.allowed.store(bytes, Ordering::Relaxed);
    }

    /// Polls with the bytes that are buffered already, and reads more only if they are not enough. Otherwise
    /// `multer` reads more at every poll, and buffers a whole form of many small parts.
    fn poll_buffered_first<T>(&self, mut poll: impl FnMut() -> Poll<T>) -> Poll<T> {
        self.may_read.store(false, Ordering::Relaxed);
        if let Poll::Ready(ready) = poll() {
            return Poll::Ready(ready);
        }
        self.may_read.store(true, Ordering::Relaxed);
        poll()
    }

    fn take_body(&self) -> Option<PacedBody> {
        self.body.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Stream for SharedBody {
    type Item = Result<Bytes, BodyError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if !self.may_read.load(Ordering::Relaxed) {
            // No waker is needed: `poll_buffered_first` polls again at once.
            return Poll::Pending;
        }
        // One piece at a time: `multer` would otherwise buffer all available pieces before it parses the first.
        if std::mem::take(&mut self.returned_piece) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let next = ready!(self.poll_piece(context));
        self.returned_piece = next.is_some();
        Poll::Ready(next)
    }
}

impl SharedBody {
    /// The next piece; while the next part is searched for, at least [`GATHERED_BYTES`] or the last ones.
    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        loop {
            let next = match &mut *self.body.lock().unwrap_or_else(PoisonError::into_inner) {
                Some(body) => ready!(body.poll_next_unpin(context)),
                None => None,
            };
            let piece = match next {
                Some(Ok(piece)) => piece,
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => {
                    let rest = self.gathered.split().freeze();
                    return Poll::Ready((!rest.is_empty()).then_some(Ok(rest)));
                }
            };
            let (allowed, length) = (self.allowed.load(Ordering::Relaxed), piece.len() as u64);
            if length > allowed {
                return Poll::Ready(Some(Err(BodyError::Overlong)));
            }
            self.allowed.store(allowed - length, Ordering::Relaxed);
            let is_searching = allowed != u64::MAX;
            if self.gathered.is_empty() && (!is_searching || piece.len() >= GATHERED_BYTES) {
                return Poll::Ready(Some(Ok(piece)));
            }
            self.gathered.extend_from_slice(&piece);
            if !is_searching || self.gathered.len() >= GATHERED_BYTES {
                return Poll::Ready(Some(Ok(self.gathered.split().freeze())));
            }
        }
    }
}
