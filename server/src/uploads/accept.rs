//! `POST /uploads` and `PUT /uploads/{filename}`: receive the pictures of a request and answer their states.
//!
//! Every step returns [`UploadResults`] or [`Refused`]. Only [`Refused::into_response`] ends a refused request: it
//! counts the request, closes its connection and drains the rest of its body.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::{Extension, Query, Request, State, rejection::QueryRejection},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use percent_encoding::percent_decode_str;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    body::{PacedBody, body_problem, closing, declared_length, unread},
    form::{self, Field, Form, PartKind, form_problem},
    form_results::FormResults,
    idempotency::Key,
    incoming::{self, Declared},
    name,
    refusal::Refusal,
    representation::Representation,
};
use crate::{
    answer::{NO_STORE, absolute, json, see_other},
    app::App,
    client::Client,
    keep,
    live::wait::Wait,
    origin,
    problem::{Problem, RETRY_SOON},
    quota::Permit,
    request::{Context, Timing},
    telemetry,
    tokens::{AcceptedUpload, Secrets},
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

/// The accepted and rejected files of one request, each in the order of the request.
#[derive(Default, Serialize, JsonSchema)]
pub(crate) struct UploadResults {
    uploads: Vec<AcceptedUpload>,
    rejected: Vec<Rejected>,
}

/// A file that was rejected, and the problem.
#[derive(Serialize, JsonSchema)]
struct Rejected {
    /// The name of the file.
    name: String,
    #[serde(flatten)]
    problem: Problem,
}

/// A refused request.
struct Refused {
    problem: Problem,
    /// The file of the form that has the problem, if it is not the form itself.
    name: Option<String>,
    /// The other files of the form that were accepted or rejected.
    results: UploadResults,
    /// The rest of the body, if the client is sending one.
    rest: Option<PacedBody>,
}

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Self { problem, name: None, results: UploadResults::default(), rest: None }
    }
}

impl Refused {
    fn with_rest(self, rest: impl Into<Option<PacedBody>>) -> Self {
        Self { rest: rest.into(), ..self }
    }
}

/// Counts the refused request, closes its connection and drains its body. The connection cannot be reused, because the
/// next bytes on it are the rest of the body.
impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        telemetry::uploads(self.problem.kind(), 1);
        self.results.count();
        let named = self.name.as_deref().map(|name| (name, &self.problem));
        let uploads = self.results.uploads.iter().map(|accepted| &accepted.upload);
        let list = FormResults::new(uploads, named.into_iter().chain(self.results.rejected()));
        let list = if named.is_some() { list } else { list.ended_by(&self.problem) };
        let mut response = closing(self.problem.with_uploads(self.results.uploads), self.rest);
        if list.is_list() {
            response.extensions_mut().insert(list);
        }
        response
    }
}

impl UploadResults {
    fn is_empty(&self) -> bool {
        self.uploads.is_empty() && self.rejected.is_empty()
    }

    fn rejected(&self) -> impl Iterator<Item = (&str, &Problem)> {
        self.rejected.iter().map(|rejected| (rejected.name.as_str(), &rejected.problem))
    }

    fn count(&self) {
        telemetry::uploads("accepted", self.uploads.len());
        self.rejected.iter().for_each(|rejected| telemetry::uploads(rejected.problem.kind(), 1));
    }
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
    let (headers, timing) = (parts.headers, context.timing.clone());
    let refuse =
        |problem: Problem, body| Refused::from(problem).with_rest(unread(&headers, body)).into_response();
    let options = options.map_err(|error| Problem::malformed(error.body_text()));
    let expires = |Query(options): Query<Options>| {
        Ok((options.lane == Some(LaneOption::Bulk), expires_after(&options.expires.unwrap_or_default())?))
    };
    let (bulk, expires) = match options.and_then(expires) {
        Ok(read) => read,
        Err(problem) => return refuse(problem, body),
    };
    let permit = match admit(app, &headers, client).await {
        Ok(permit) => permit,
        Err(problem) => return refuse(problem, body),
    };
    // A draining server waits until this token is dropped.
    let in_flight = app.in_flight.token();
    let key = tokio::select! {
        key = Key::of(&headers, client, app) => key,
        () = permit.evicted() => Err(Problem::busy()),
    };
    let source = key.and_then(|key| Ok((key, BodyKind::of(&headers, name, app.config.max_upload_bytes)?)));
    let (key, source) = match source {
        Ok(source) => source,
        Err(problem) => return refuse(problem, body),
    };
    // Before anything is accepted: the answer must have tokens.
    let secrets = match app.tokens.secrets(&app.storage).await {
        Ok(secrets) => secrets,
        Err(error) => return refuse(error.into(), body),
    };
    let file_context = FileContext { bulk, expires, key, context, permit: &permit, secrets };
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

/// Reads the time that a client asks for.
fn expires_after(text: &str) -> Result<Option<Duration>, Problem> {
    let message = "expires must be a whole number of seconds, and at least 1.";
    keep::parse_expires(text).map_err(|_| Problem::malformed(message))
}

/// Admits an upload, or refuses it before its body is read.
async fn admit(app: &App, headers: &HeaderMap, client: Client) -> Result<Permit, Problem> {
    if !origin::is_allowed(headers, &app.config) {
        return Err(Problem::cross_site());
    }
    if app.draining.is_cancelled() {
        return Err(Problem::draining());
    }
    if !app.free_space.has_room_for(declared_length(headers).unwrap_or(0)) {
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
    key: Option<Key>,
    context: Context,
    permit: &'request Permit,
}

impl FileContext<'_> {
    /// The declared properties of the file at a position, counted from 0.
    fn declared(&self, app: &App, name: String, position: usize) -> Declared {
        let key = self.key.as_ref().map(|key| key.of_file(position));
        let kept_for = keep::kept_for(app.config.keep, self.expires);
        Declared { name, bulk: self.bulk, kept_for, key, context: self.context.clone() }
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
    loop {
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
            PartKind::File(name) => name,
            PartKind::Field(Field::Expires) if results.is_empty() => {
                file_context.expires = expires_after(&part.text().await?)?.or(file_context.expires);
                continue;
            }
            PartKind::Field(Field::Expires) => {
                return Err(Problem::malformed("The field expires must come before the files of the form."));
            }
            PartKind::Field(Field::Other) => {
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

/// The answer to a request with at least one accepted file.
async fn answer(
    app: &App,
    mut results: UploadResults,
    headers: &HeaderMap,
    timing: &Timing,
) -> Result<Response, Refused> {
    results.count();
    let Some(first) = results.uploads.first() else { return Err(Problem::no_file().into()) };
    let location = first.upload.links.this.clone();
    let representation = Representation::preferred(headers);
    let uploads = results.uploads.iter().map(|accepted| &accepted.upload);
    let list = FormResults::new(uploads, results.rejected());
    if representation == Representation::Html && !list.is_list() {
        return Ok(see_other(location));
    }
    let mut status = StatusCode::ACCEPTED;
    let wait = Wait::parse(headers);
    if let Some(wait) = wait {
        let waited = results.uploads.iter().map(|accepted| accepted.upload.clone()).collect();
        let waited = timing.of("wait", wait.for_end(app, waited)).await;
        results.uploads.iter_mut().zip(waited).for_each(|(accepted, upload)| accepted.upload = upload);
        if results.uploads.iter().all(|accepted| accepted.upload.state.is_final()) {
            status = StatusCode::CREATED;
        }
    }
    let mut response = match representation {
        Representation::Plain => {
            let link =
                |accepted: &AcceptedUpload| absolute(&app.links, headers, &accepted.upload.links.this) + "\n";
            results.uploads.iter().map(link).collect::<String>().into_response()
        }
        Representation::Json | Representation::Html => json(&results),
    };
    if representation == Representation::Html {
        response.extensions_mut().insert(list);
    }
    *response.status_mut() = status;
    let headers = response.headers_mut();
    let location = HeaderValue::from_str(&location).expect("a link is a path or a URL in ASCII");
    headers.insert(header::LOCATION, location);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(NO_STORE));
    headers.insert(header::VARY, HeaderValue::from_static("accept"));
    if status == StatusCode::ACCEPTED {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(RETRY_SOON));
    }
    if let Some((name, value)) = wait.map(Wait::applied) {
        headers.insert(name, value);
    }
    Ok(response)
}
