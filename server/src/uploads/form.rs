//! The parts of a form, within bounds. `multer` bounds the number of headers of a part and nothing else: what comes
//! before the first part and between two of them it would keep in memory without end.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
};

use axum::{body::Body, http::HeaderMap};
use bytes::Bytes;
use futures::{Stream, StreamExt};
use multer::{Constraints, Field, Multipart, SizeLimit};

use super::{
    body::{BodyError, PacedBody, body_problem},
    name,
};
use crate::problem::Problem;

/// Parts that a form may have, files and others together. A page sends one file at a time; a script that sends more
/// than this in one request has no use of the answer.
const MAX_PARTS: usize = 1000;

/// What a form costs in bytes beside its files, at most.
const FORM_OVERHEAD_BYTES: u64 = 4 * 1024 * 1024;

/// What the headers of one part may take, in bytes, the file's name included: browsers write a few hundred, and a
/// name has 255 at most, each of which may be written as three.
const MAX_HEADER_BYTES: usize = 8 * 1024;

/// What may be read of a form in search of its next part, in bytes, before that has begun: the headers of a part, and
/// what a piece of the body holds of its data. Everything of this is in memory.
const MAX_SEARCH_BYTES: u64 = 256 * 1024;

/// A form as it comes in.
pub(crate) struct Form {
    multipart: Multipart<'static>,
    body: SharedBody,
    begun: usize,
}

impl Form {
    /// Of a body, with files up to this limit in bytes.
    pub(crate) fn new(body: Body, boundary: String, max_file_bytes: u64) -> Self {
        let limit = max_file_bytes.saturating_mul(MAX_PARTS as u64).saturating_add(FORM_OVERHEAD_BYTES);
        let constraints = Constraints::new().size_limit(SizeLimit::new().whole_stream(limit));
        let body = SharedBody::new(PacedBody::new(body));
        let multipart = Multipart::with_constraints(body.clone(), boundary, constraints);
        Self { multipart, body, begun: 0 }
    }

    /// The next part. The one before must have been read to its end, or [skipped](Part::skip).
    pub(crate) async fn next(&mut self) -> Result<Option<Part>, Problem> {
        self.body.allow(MAX_SEARCH_BYTES);
        let (body, multipart) = (&self.body, &mut self.multipart);
        let next = poll_fn(|context| body.when_needed(|| multipart.poll_next_field(context))).await;
        self.body.allow(u64::MAX);
        let Some(field) = next.map_err(|error| form_problem(&error))? else { return Ok(None) };
        self.begun += 1;
        if self.begun > MAX_PARTS {
            return Err(Problem::too_many_parts(MAX_PARTS));
        }
        if bytes_of(field.headers()) > MAX_HEADER_BYTES {
            return Err(Problem::malformed("The headers of a part are too long."));
        }
        Ok(Some(Part { field, body: self.body.clone() }))
    }

    /// The rest of the body.
    pub(crate) fn into_rest(self) -> Option<PacedBody> {
        self.body.take_back()
    }
}

/// A part, and its data as it comes in.
pub(crate) struct Part {
    field: Field<'static>,
    body: SharedBody,
}

impl Part {
    /// What its file is called, if it is one: a part by the name of `file` is one without a file's name. What a browser
    /// sends for a file input without a file has an empty one, and is none.
    pub(crate) fn file(&self) -> Option<String> {
        match (self.field.file_name(), self.field.name()) {
            (Some(name), _) if !name.is_empty() => Some(name::clean_of_form(name)),
            (None, Some("file")) => Some(name::clean("")),
            _ => None,
        }
    }

    /// Reads what is left of it, and forgets it.
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
        let Self { field, body } = &mut *self;
        body.when_needed(|| field.poll_next_unpin(context))
    }
}

/// The answer to a form that cannot be read on.
pub(super) fn form_problem(error: &multer::Error) -> Problem {
    match error {
        multer::Error::StreamReadFailed(source) => match source.downcast_ref::<BodyError>() {
            Some(error) => body_problem(error),
            None => Problem::malformed("The body broke off."),
        },
        multer::Error::StreamSizeExceeded { limit } => Problem::too_large(*limit),
        other => Problem::malformed(format!("The form is broken: {other}.")),
    }
}

fn bytes_of(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum()
}

/// A body that `multer` reads and that can be taken back from it.
#[derive(Clone)]
struct SharedBody {
    body: Arc<Mutex<Option<PacedBody>>>,
    /// How many bytes may still be read.
    allowed: Arc<AtomicU64>,
    /// Whether anything is given now.
    gives: Arc<AtomicBool>,
    /// Whether the last poll gave a piece.
    gave: bool,
}

impl SharedBody {
    fn new(body: PacedBody) -> Self {
        Self {
            body: Arc::new(Mutex::new(Some(body))),
            allowed: Arc::new(AtomicU64::new(u64::MAX)),
            gives: Arc::default(),
            gave: false,
        }
    }

    fn allow(&self, bytes: u64) {
        self.allowed.store(bytes, Ordering::Relaxed);
    }

    /// Polls with what has been read already, and reads on only if that does not do: `multer` would read on at every
    /// poll, and a form of many small parts would come to lie in memory whole.
    fn when_needed<T>(&self, mut poll: impl FnMut() -> Poll<T>) -> Poll<T> {
        self.gives.store(false, Ordering::Relaxed);
        if let Poll::Ready(ready) = poll() {
            return Poll::Ready(ready);
        }
        self.gives.store(true, Ordering::Relaxed);
        poll()
    }

    fn take_back(&self) -> Option<PacedBody> {
        self.body.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Stream for SharedBody {
    type Item = Result<Bytes, BodyError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if !self.gives.load(Ordering::Relaxed) {
            // Whoever polls does so once more at once.
            return Poll::Pending;
        }
        // One piece at a time: `multer` would otherwise gather all that is there before it looks at any of it.
        if std::mem::take(&mut self.gave) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let next = match &mut *self.body.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(body) => ready!(body.poll_next_unpin(context)),
            None => None,
        };
        if let Some(Ok(piece)) = &next {
            let (allowed, length) = (self.allowed.load(Ordering::Relaxed), piece.len() as u64);
            if length > allowed {
                return Poll::Ready(Some(Err(BodyError::Overlong)));
            }
            self.allowed.store(allowed - length, Ordering::Relaxed);
        }
        self.gave = next.is_some();
        Poll::Ready(next)
    }
}
