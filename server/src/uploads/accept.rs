//! `POST /uploads` and `PUT /uploads/{filename}`: receive the pictures of a request and answer their states.
//!
//! Every step returns [`UploadResults`] or [`Refused`]. Only [`Refused::into_response`] ends a refused request.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::{Extension, Query, Request, State, rejection::QueryRejection},
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use percent_encoding::percent_decode_str;
use serde::Deserialize;

use super::{
    body::{PacedBody, body_problem, declared_length, unread},
    form::{self, Field, Form, MAX_EXPIRES_BYTES, MAX_KEY_BYTES, PartKind, form_problem},
    idempotency::Key,
    incoming::{self, Declared},
    name,
    refusal::Refusal,
    reply::{Refused, Rejected, UploadResults, answer},
};
use crate::{
    app::App,
    client::{Client, Peer},
    keep,
    problem::Problem,
    quota::Permit,
    request::Context,
    senders::Sender,
    tokens::Secrets,
};

/// The query parameters of an upload.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Options {
    lane: Option<LaneOption>,
    /// Seconds after which the uploads are deleted.
    expires: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum LaneOption {
    Bulk,
}

/// Receives a form, or a raw picture.
pub(crate) async fn post(
    State(app): State<Arc<App>>,
    options: Result<Query<Options>, QueryRejection>,
    Extension(context): Extension<Context>,
    client: Client,
    request: Request,
) -> Response {
    receive(&app, options, context, client, request, None).await
}

/// Receives a raw picture with its name in the path.
pub(crate) async fn put(
    State(app): State<Arc<App>>,
    options: Result<Query<Options>, QueryRejection>,
    Extension(context): Extension<Context>,
    client: Client,
    request: Request,
) -> Response {
    let last = request.uri().path().strip_prefix("/uploads/").unwrap_or_default();
    let name = percent_decode_str(last).decode_utf8_lossy().into_owned();
    receive(&app, options, context, client, request, Some(name)).await
}

async fn receive(
    app: &Arc<App>,
    options: Result<Query<Options>, QueryRejection>,
    context: Context,
    client: Client,
    request: Request,
    name: Option<String>,
) -> Response {
    let (parts, body) = request.into_parts();
    let (headers, extensions, timing) = (parts.headers, parts.extensions, context.timing.clone());
    let refuse =
        |problem: Problem, body| Refused::from(problem).with_rest(unread(&headers, body)).into_response();
    let options = options.map_err(|error| Problem::malformed(error.body_text()));
    let expires = |Query(options): Query<Options>| {
        Ok((options.lane == Some(LaneOption::Bulk), expires_asked(options.expires.as_deref())?))
    };
    let (bulk, expires) = match options.and_then(expires) {
        Ok(read) => read,
        Err(problem) => return refuse(problem, body),
    };
    if let Err(problem) = app.check_change(&headers) {
        return refuse(problem, body);
    }
    // A draining server waits until this token is dropped.
    let in_flight = app.in_flight.token();
    // Before anything is accepted: the answer must have tokens.
    let secrets = match app.tokens.secrets(&app.storage).await {
        Ok(secrets) => secrets,
        Err(error) => return refuse(error.into(), body),
    };
    let may_name_users = extensions.get::<Peer>().is_some_and(|peer| peer.may_name_users(&app.config));
    let sender = match app.senders.of_headers(&headers, may_name_users, client, &secrets) {
        Ok(sender) => sender,
        Err(problem) => return refuse(problem, body),
    };
    let source = match BodyKind::of(&headers, name, app.config.max_upload_bytes) {
        Ok(source) => source,
        Err(problem) => return refuse(problem, body),
    };
    // A form may have a field with a key. Who sends no key takes no place of others.
    if sender.is_none() && app.senders.are_needed() && matches!(source, BodyKind::Raw { .. }) {
        return refuse(Problem::key_needed(), body);
    }
    let permit = match admit(app, &headers, client).await {
        Ok(permit) => permit,
        Err(problem) => return refuse(problem, body),
    };
    let key = tokio::select! {
        key = Key::of(&headers, client, app) => key,
        () = permit.evicted() => Err(Problem::busy()),
    };
    let key = match key {
        Ok(key) => key,
        Err(problem) => return refuse(problem, body),
    };
    let length = declared_length(&headers).filter(|_| matches!(source, BodyKind::Raw { .. }));
    let file_context = FileContext { length, bulk, expires, key, context, permit: &permit, secrets, sender };
    let results = match source {
        BodyKind::Form { boundary } => {
            receive_form(app, Form::new(body, boundary, app.config.max_upload_bytes), file_context).await
        }
        BodyKind::Raw { name } => receive_raw(app, PacedBody::new(body), name, file_context).await,
    };
    // Waiting for the end of the uploads needs no permit.
    drop(permit);
    let answered = match results {
        Ok(results) => answer(app, results, &headers, &timing).await,
        Err(refused) => Err(refused),
    };
    drop(in_flight);
    answered.unwrap_or_else(Refused::into_response)
}

const BAD_EXPIRES: &str = "expires must be a whole number of seconds, and at least 1.";

/// Reads the parameter of the query. Unlike the field of a form, it is not there without a value.
fn expires_asked(text: Option<&str>) -> Result<Option<Duration>, Problem> {
    match text {
        Some(text) if text.trim().is_empty() => Err(Problem::malformed(BAD_EXPIRES)),
        Some(text) => expires_after(text),
        None => Ok(None),
    }
}

/// Reads the time that a client asks for.
fn expires_after(text: &str) -> Result<Option<Duration>, Problem> {
    keep::parse_expires(text).map_err(|_| Problem::malformed(BAD_EXPIRES))
}

/// Admits an upload, or refuses it before its body is read.
async fn admit(app: &App, headers: &HeaderMap, client: Client) -> Result<Permit, Problem> {
    if !app.free_space.has_room_for(declared_length(headers).unwrap_or(0)).await {
        return Err(Problem::disk_full());
    }
    app.unended.check(client)?;
    let permit = app.uploading.acquire_or_evict(client)?;
    if app.outbox.room_taken().await? >= app.config.max_outbox {
        return Err(Problem::busy());
    }
    Ok(permit)
}

/// The kind of a request's body.
enum BodyKind {
    /// A form, with its boundary.
    Form { boundary: String },
    /// One picture, with its name.
    Raw { name: String },
}

impl BodyKind {
    /// Reads the headers. A request with a name in its path is a raw picture, even if its type is that of a form.
    fn of(headers: &HeaderMap, name_in_path: Option<String>, max_file_bytes: u64) -> Result<Self, Problem> {
        // `headers::ContentType` is not used: it rejects boundaries that existing clients send.
        let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let content_type = content_type.unwrap_or_default();
        if name_in_path.is_none() && content_type.to_ascii_lowercase().starts_with("multipart/") {
            let boundary = form::boundary(content_type);
            let no_boundary = || Problem::malformed("The form names no boundary.");
            return boundary.map(|boundary| Self::Form { boundary }).ok_or_else(no_boundary);
        }
        if declared_length(headers).is_some_and(|length| length > max_file_bytes) {
            return Err(Problem::too_large(max_file_bytes));
        }
        Ok(Self::Raw { name: name::clean(&name_in_path.unwrap_or_default()) })
    }
}

/// Properties of a request that apply to each of its files.
struct FileContext<'request> {
    bulk: bool,
    /// The time after which the request wants its files deleted.
    expires: Option<Duration>,
    secrets: Secrets,
    sender: Option<Sender>,
    key: Option<Key>,
    context: Context,
    permit: &'request Permit,
    /// Bytes of the picture, if it is the body and the request tells them.
    length: Option<u64>,
}

impl FileContext<'_> {
    /// The declared properties of the file at a position, counted from 0.
    fn declared(&self, app: &App, name: String, position: usize) -> Declared {
        let sender = self.sender.as_ref().map(Sender::name);
        let key = self.key.as_ref().map(|key| key.of_file(position, sender.as_deref()));
        let kept_for = keep::kept_for(app.config.keep, self.expires);
        Declared {
            name,
            bulk: self.bulk,
            kept_for,
            key,
            sender: self.sender.clone(),
            context: self.context.clone(),
            length: self.length,
        }
    }
}

async fn receive_raw(
    app: &Arc<App>,
    mut body: PacedBody,
    name: String,
    file_context: FileContext<'_>,
) -> Result<UploadResults, Refused> {
    let declared = file_context.declared(app, name, 0);
    match incoming::receive(app, declared, &mut body, file_context.permit).await {
        Ok(upload) => {
            let uploads = vec![file_context.secrets.accepted(upload)];
            Ok(UploadResults { uploads, rejected: Vec::new() })
        }
        Err(Refusal::Problem(problem)) => Err(Refused::from(problem).with_rest(body)),
        // The body has ended: there is nothing to drain.
        Err(Refusal::Body(error)) => Err(body_problem(&error).into()),
        Err(Refusal::Form(error)) => Err(form_problem(&error).into()),
        Err(Refusal::Evicted) => Err(Problem::busy().into()),
    }
}

/// Receives the files of a form. If the form breaks off, the answer lists the files that were accepted before.
async fn receive_form(
    app: &Arc<App>,
    mut form: Form,
    mut file_context: FileContext<'_>,
) -> Result<UploadResults, Refused> {
    let mut results = UploadResults::default();
    match receive_files(app, &mut form, &mut file_context, &mut results).await {
        Ok(()) if results.uploads.is_empty() => {
            // The answer is the problem of the first file.
            let mut rejected = std::mem::take(&mut results.rejected).into_iter();
            let (name, problem) = rejected
                .next()
                .map_or_else(|| (None, Problem::no_file()), |first| (Some(first.name), first.problem));
            results.rejected = rejected.collect();
            Err(Refused { problem, name, results, rest: form.into_rest() })
        }
        Ok(()) => Ok(results),
        Err(problem) => Err(Refused { problem, name: None, results, rest: form.into_rest() }),
    }
}

async fn receive_files(
    app: &Arc<App>,
    form: &mut Form,
    file_context: &mut FileContext<'_>,
    results: &mut UploadResults,
) -> Result<(), Problem> {
    // The bytes between two parts are held by the parser.
    let account = app.memory.open(file_context.permit.client(), file_context.permit.handle().clone());
    let _searched = tokio::select! {
        biased;
        reserved = account.reserve(form::SEARCHED_BYTES) => reserved.map_err(|_| Problem::busy())?,
        () = file_context.permit.evicted() => return Err(Problem::busy()),
    };
    loop {
        file_context.permit.handle().wait_for_client();
        let part = tokio::select! {
            biased;
            part = form.next() => part?,
            () = file_context.permit.evicted() => return Err(Problem::busy()),
        };
        let Some(mut part) = part else { return Ok(()) };
        let kind = tokio::select! {
            biased;
            kind = part.kind() => kind.map_err(|error| form_problem(&error))?,
            () = file_context.permit.evicted() => return Err(Problem::busy()),
        };
        let name = match kind {
            PartKind::File(_) if file_context.sender.is_none() && app.senders.are_needed() => {
                return Err(Problem::key_needed());
            }
            PartKind::File(name) => name,
            PartKind::Field(Field::Key) if app.senders.are_needed() && file_context.sender.is_none() => {
                let key = part.text(MAX_KEY_BYTES).await?;
                if !key.is_empty() {
                    let client = file_context.permit.client();
                    file_context.sender =
                        Some(app.senders.of_key(key.trim(), client, &file_context.secrets)?);
                }
                continue;
            }
            PartKind::Field(Field::Expires) if results.is_empty() => {
                file_context.expires =
                    expires_after(&part.text(MAX_EXPIRES_BYTES).await?)?.or(file_context.expires);
                continue;
            }
            PartKind::Field(Field::Expires) => {
                return Err(Problem::malformed("The field expires must come before the files of the form."));
            }
            // Before the key comes, no field may be long.
            PartKind::Field(Field::Key | Field::Other)
                if app.senders.are_needed() && file_context.sender.is_none() =>
            {
                part.text(MAX_KEY_BYTES).await?;
                continue;
            }
            PartKind::Field(Field::Key | Field::Other) => {
                part.skip().await?;
                continue;
            }
        };
        let declared =
            file_context.declared(app, name.clone(), results.uploads.len() + results.rejected.len());
        match incoming::receive(app, declared, &mut part, file_context.permit).await {
            Ok(upload) => results.uploads.push(file_context.secrets.accepted(upload)),
            Err(Refusal::Problem(problem)) => {
                results.rejected.push(Rejected { name, problem });
                part.skip().await?;
            }
            Err(Refusal::Body(error)) => return Err(body_problem(&error)),
            Err(Refusal::Form(error)) => return Err(form_problem(&error)),
            Err(Refusal::Evicted) => return Err(Problem::busy()),
        }
    }
}
