//! `POST /uploads` and `PUT /uploads/{filename}`: from a request to an answer about its pictures.
//!
//! Every step answers [`Taken`] or [`Refused`]. A refused request ends in one place, [`Refused::into_response`]: it is
//! counted, its connection is closed, and the rest of its body is drained.

use std::sync::Arc;

use axum::{
    extract::{Extension, Query, Request, State, rejection::QueryRejection},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use percent_encoding::percent_decode_str;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use worker::Upload;

use super::{
    body::{PacedBody, body_problem, declared_length},
    form::{Form, form_problem},
    idempotency::Key,
    incoming::{self, Declared, Refusal},
    name,
    representation::Representation,
};
use crate::{
    answer::{NO_STORE, absolute, json, see_other},
    app::App,
    client::Client,
    live::wait::Wait,
    origin,
    problem::{Problem, RETRY_SOON},
    quota::Permit,
    request::{Context, Timing},
    telemetry,
};

/// A request with more files than this goes to the bulk lane.
const INTERACTIVE_FILES: usize = 10;

/// The query of an upload.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Options {
    lane: Option<LaneOption>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum LaneOption {
    Bulk,
}

/// The pictures of one request, in their order.
#[derive(Default, Serialize, JsonSchema)]
pub(crate) struct Taken {
    uploads: Vec<Upload>,
    rejected: Vec<Rejected>,
}

/// A file that was not taken, and why.
#[derive(Serialize, JsonSchema)]
struct Rejected {
    /// Its name.
    name: String,
    #[serde(flatten)]
    problem: Problem,
}

/// A request that is refused.
struct Refused {
    problem: Problem,
    /// The files of a form that were accepted or rejected before.
    taken: Taken,
    /// The rest of the body, if the client is sending one.
    rest: Option<PacedBody>,
}

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Self { problem, taken: Taken::default(), rest: None }
    }
}

impl Refused {
    fn with_rest(self, rest: impl Into<Option<PacedBody>>) -> Self {
        Self { rest: rest.into(), ..self }
    }
}

/// The one place that counts a refused request, closes its connection and drains its body. What follows on the connection
/// is the rest of the body and no request.
impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        telemetry::uploads(self.problem.kind(), 1);
        self.taken.count();
        if let Some(rest) = self.rest {
            rest.drain();
        }
        let mut response = self.problem.with_uploads(self.taken.uploads).into_response();
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        response
    }
}

impl Taken {
    fn count(&self) {
        telemetry::uploads("accepted", self.uploads.len());
        self.rejected.iter().for_each(|rejected| telemetry::uploads(rejected.problem.kind(), 1));
    }
}

/// Takes a form, or a raw picture.
pub(crate) async fn post(
    State(app): State<Arc<App>>,
    options: Result<Query<Options>, QueryRejection>,
    Extension(context): Extension<Context>,
    client: Client,
    request: Request,
) -> Response {
    take(&app, options, context, client, request, None).await
}

/// Takes a raw picture by the name in its path.
pub(crate) async fn put(
    State(app): State<Arc<App>>,
    options: Result<Query<Options>, QueryRejection>,
    Extension(context): Extension<Context>,
    client: Client,
    request: Request,
) -> Response {
    let last = request.uri().path().strip_prefix("/uploads/").unwrap_or_default();
    let name = percent_decode_str(last).decode_utf8_lossy().into_owned();
    take(&app, options, context, client, request, Some(name)).await
}

async fn take(
    app: &Arc<App>,
    options: Result<Query<Options>, QueryRejection>,
    context: Context,
    client: Client,
    request: Request,
    name: Option<String>,
) -> Response {
    let (parts, body) = request.into_parts();
    let (headers, timing) = (parts.headers, context.timing.clone());
    // A client that waits for `100 Continue` sends no body once it is refused.
    let is_sending = !headers.contains_key(header::EXPECT);
    let early = |problem: Problem, body| {
        Refused::from(problem).with_rest(is_sending.then(|| PacedBody::new(body))).into_response()
    };
    let bulk = match options {
        Ok(Query(options)) => options.lane == Some(LaneOption::Bulk),
        Err(error) => return early(Problem::malformed(error.body_text()), body),
    };
    let permit = match admit(app, &headers, client).await {
        Ok(permit) => permit,
        Err(problem) => return early(problem, body),
    };
    // A drain waits for its end.
    let in_flight = app.in_flight.token();
    let key = tokio::select! {
        key = Key::of(&headers, app) => key,
        () = permit.evicted() => Err(Problem::busy()),
    };
    let source = key.and_then(|key| Ok((key, Source::of(&headers, name, app.config.max_upload_bytes)?)));
    let (key, source) = match source {
        Ok(source) => source,
        Err(problem) => return early(problem, body),
    };
    let every = EveryFile { bulk, key, context, permit: &permit };
    let taken = match source {
        Source::Form { boundary } => {
            take_form(app, Form::new(body, boundary, app.config.max_upload_bytes), every).await
        }
        Source::Raw { name } => take_raw(app, PacedBody::new(body), name, every).await,
    };
    // A request that waits for the end of its uploads needs no permit.
    drop(permit);
    let answered = match taken {
        Ok(taken) => answer(app, taken, &headers, &timing).await,
        Err(refused) => Err(refused),
    };
    drop(in_flight);
    answered.unwrap_or_else(Refused::into_response)
}

/// Admits an upload, or refuses it before its body is read.
async fn admit(app: &App, headers: &HeaderMap, client: Client) -> Result<Permit, Problem> {
    if !origin::is_allowed(headers, &app.config) {
        return Err(Problem::cross_site());
    }
    if app.draining.is_cancelled() {
        return Err(Problem::draining());
    }
    let permit = app.uploading.acquire_or_evict(client)?;
    if app.outbox.room_taken().await? >= app.config.max_outbox {
        return Err(Problem::busy());
    }
    Ok(permit)
}

/// What the body of a request is.
enum Source {
    /// A form with this boundary.
    Form { boundary: String },
    /// One picture of this name.
    Raw { name: String },
}

impl Source {
    /// Reads the headers. A request with a name in its path is a raw picture, whatever its type.
    fn of(headers: &HeaderMap, name_in_path: Option<String>, max_file_bytes: u64) -> Result<Self, Problem> {
        // Not by `headers::ContentType`: it refuses boundaries that clients in use write.
        let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let content_type = content_type.unwrap_or_default();
        if name_in_path.is_none() && content_type.starts_with("multipart/") {
            return match multer::parse_boundary(content_type) {
                Ok(boundary) => Ok(Self::Form { boundary }),
                Err(_) => Err(Problem::malformed("The form names no boundary.")),
            };
        }
        if declared_length(headers).is_some_and(|length| length > max_file_bytes) {
            return Err(Problem::too_large(max_file_bytes));
        }
        Ok(Self::Raw { name: name::clean(&name_in_path.unwrap_or_default()) })
    }
}

/// The facts that hold for every file of a request.
struct EveryFile<'request> {
    bulk: bool,
    key: Option<Key>,
    context: Context,
    permit: &'request Permit,
}

impl EveryFile<'_> {
    /// The facts of the file at a position, counted from 0.
    fn declared(&self, name: String, position: usize, bulk: bool) -> Declared {
        let key = self.key.as_ref().map(|key| key.of_file(position));
        Declared { name, bulk, key, context: self.context.clone() }
    }
}

async fn take_raw(
    app: &Arc<App>,
    mut body: PacedBody,
    name: String,
    every: EveryFile<'_>,
) -> Result<Taken, Refused> {
    let declared = every.declared(name, 0, every.bulk);
    match incoming::take(app, declared, &mut body, every.permit).await {
        Ok(upload) => Ok(Taken { uploads: vec![upload], rejected: Vec::new() }),
        Err(Refusal::Problem(problem)) => Err(Refused::from(problem).with_rest(body)),
        // Nothing follows that could be drained.
        Err(Refusal::Body(error)) => Err(body_problem(&error).into()),
        Err(Refusal::Form(error)) => Err(form_problem(&error).into()),
        Err(Refusal::Evicted) => Err(Problem::busy().into()),
    }
}

/// Takes the files of a form. The answer to one that breaks off names the files that were accepted before.
async fn take_form(app: &Arc<App>, mut form: Form, every: EveryFile<'_>) -> Result<Taken, Refused> {
    let mut taken = Taken::default();
    match take_files(app, &mut form, &every, &mut taken).await {
        Ok(()) if taken.uploads.is_empty() => {
            // The answer is that of the first file.
            let mut rejected = std::mem::take(&mut taken.rejected).into_iter();
            let problem = rejected.next().map_or_else(Problem::no_file, |first| first.problem);
            taken.rejected = rejected.collect();
            Err(Refused { problem, taken, rest: form.into_rest() })
        }
        Ok(()) => Ok(taken),
        Err(problem) => Err(Refused { problem, taken, rest: form.into_rest() }),
    }
}

async fn take_files(
    app: &Arc<App>,
    form: &mut Form,
    every: &EveryFile<'_>,
    taken: &mut Taken,
) -> Result<(), Problem> {
    loop {
        let part = tokio::select! {
            biased;
            part = form.next() => part?,
            () = every.permit.evicted() => return Err(Problem::busy()),
        };
        let Some(mut part) = part else { return Ok(()) };
        let Some(name) = part.file() else {
            part.skip().await?;
            continue;
        };
        let bulk = every.bulk || taken.uploads.len() >= INTERACTIVE_FILES;
        let declared = every.declared(name.clone(), taken.uploads.len() + taken.rejected.len(), bulk);
        match incoming::take(app, declared, &mut part, every.permit).await {
            Ok(upload) => taken.uploads.push(upload),
            Err(Refusal::Problem(problem)) => {
                taken.rejected.push(Rejected { name, problem });
                part.skip().await?;
            }
            Err(Refusal::Body(error)) => return Err(body_problem(&error)),
            Err(Refusal::Form(error)) => return Err(form_problem(&error)),
            Err(Refusal::Evicted) => return Err(Problem::busy()),
        }
    }
}

/// The answer to a request of which at least one file was accepted.
async fn answer(
    app: &App,
    mut taken: Taken,
    headers: &HeaderMap,
    timing: &Timing,
) -> Result<Response, Refused> {
    taken.count();
    let Some(first) = taken.uploads.first() else { return Err(Problem::no_file().into()) };
    let location = first.links.this.clone();
    let representation = Representation::wanted(headers);
    if representation == Representation::Html {
        return Ok(see_other(location));
    }
    let mut status = StatusCode::ACCEPTED;
    let wait = Wait::parse(headers);
    if let Some(wait) = wait {
        taken.uploads = timing.of("wait", wait.for_end(app, taken.uploads)).await;
        if taken.uploads.iter().all(|upload| upload.state.is_final()) {
            status = StatusCode::CREATED;
        }
    }
    let mut response = match representation {
        Representation::Plain => {
            let link = |upload: &Upload| absolute(&app.links, headers, &upload.links.this) + "\n";
            taken.uploads.iter().map(link).collect::<String>().into_response()
        }
        Representation::Json | Representation::Html => json(&taken),
    };
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
