//! `POST /uploads` and `PUT /uploads/{filename}`: from a request to answers about its pictures.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Extension, Query, Request, State, rejection::QueryRejection},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use percent_encoding::percent_decode_str;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use worker::Upload;

use super::{
    body::{BodyError, PacedBody, declared_length},
    idempotency::Key,
    incoming::{self, Declared, Refusal},
    name,
    negotiate::{Form, see_other},
    parts::Parts,
};
use crate::{
    admission::Place,
    app::App,
    client::Client,
    live::{origin, wait::Wait},
    problem::{Problem, RETRY_SOON},
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

/// What holds for every file of a form.
struct FormFrom<'request> {
    bulk: bool,
    key: Option<Key>,
    context: Context,
    place: &'request Place,
}

/// What became of the pictures of one request, in their order.
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

/// Takes a form, or a raw picture.
pub(crate) async fn post(
    State(app): State<Arc<App>>,
    options: Result<Query<Options>, QueryRejection>,
    Extension(context): Extension<Context>,
    client: Client,
    request: Request,
) -> Result<Response, Problem> {
    take(&app, options, context, client, request, None).await.inspect_err(count)
}

/// Takes a raw picture by the name in its path.
pub(crate) async fn put(
    State(app): State<Arc<App>>,
    options: Result<Query<Options>, QueryRejection>,
    Extension(context): Extension<Context>,
    client: Client,
    request: Request,
) -> Result<Response, Problem> {
    let last = request.uri().path().strip_prefix("/uploads/").unwrap_or_default();
    let name = percent_decode_str(last).decode_utf8_lossy().into_owned();
    take(&app, options, context, client, request, Some(name)).await.inspect_err(count)
}

/// Counts a request that was refused whole.
fn count(problem: &Problem) {
    telemetry::uploads(problem.kind(), 1);
}

async fn take(
    app: &Arc<App>,
    options: Result<Query<Options>, QueryRejection>,
    context: Context,
    client: Client,
    request: Request,
    name: Option<String>,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let timing = context.timing.clone();
    let headers = parts.headers;
    let bulk = match options {
        Ok(Query(options)) => options.lane == Some(LaneOption::Bulk),
        Err(error) => return Ok(refuse_early(Problem::malformed(error.body_text()), &headers, body)),
    };
    let place = match admit(app, &headers, client).await {
        Ok(place) => place,
        Err(problem) => return Ok(refuse_early(problem, &headers, body)),
    };
    // A drain waits for its end.
    let in_flight = app.in_flight.token();
    let coming = Coming { headers: &headers, body, name, bulk, context, place: &place };
    let came = coming.take_in(app).await?;
    // Waiting for the end takes no place of an upload.
    drop(place);
    let answer = match came {
        Ok(taken) => answer(app, taken, &headers, &timing).await,
        Err(refusal) => Ok(refusal),
    };
    drop(in_flight);
    answer
}

/// An upload that is let in.
struct Coming<'request> {
    headers: &'request HeaderMap,
    body: Body,
    /// That of its path, if it is a raw picture.
    name: Option<String>,
    bulk: bool,
    context: Context,
    place: &'request Place,
}

impl Coming<'_> {
    /// Takes in what is sent, or answers what is not taken.
    async fn take_in(self, app: &Arc<App>) -> Result<Result<Taken, Response>, Problem> {
        let Self { headers, body, name, bulk, context, place } = self;
        let key = tokio::select! {
            key = Key::of(headers, app) => key,
            () = place.must_go() => Err(Problem::busy()),
        };
        let key = match key {
            Ok(key) => key,
            Err(problem) => return Ok(Err(refuse_early(problem, headers, body))),
        };
        let boundary =
            content_type(headers).and_then(|content_type| multer::parse_boundary(content_type).ok());
        let is_form =
            content_type(headers).is_some_and(|content_type| content_type.starts_with("multipart/"));
        match boundary {
            Some(boundary) if name.is_none() => {
                let parts = Parts::new(body, boundary, app.config.max_upload_bytes);
                Ok(take_form(app, parts, FormFrom { bulk, key, context, place }).await.map_err(closing))
            }
            None if name.is_none() && is_form => {
                Ok(Err(refuse_early(Problem::malformed("The form names no boundary."), headers, body)))
            }
            _ => {
                let limit = app.config.max_upload_bytes;
                if declared_length(headers).is_some_and(|length| length > limit) {
                    return Ok(Err(refuse_early(Problem::too_large(limit), headers, body)));
                }
                let name = name::clean(name.as_deref().unwrap_or_default());
                let key = key.as_ref().map(|key| key.of_file(0));
                take_raw(app, body, Declared { name, bulk, key, context }, place).await
            }
        }
    }
}

/// Whether an upload may come in at all.
async fn admit(app: &App, headers: &HeaderMap, client: Client) -> Result<Place, Problem> {
    if !origin::is_allowed(headers, &app.config) {
        return Err(Problem::cross_site());
    }
    if app.draining.is_cancelled() {
        return Err(Problem::draining());
    }
    let place = app.uploading.take_or_make(client)?;
    if app.outbox.room_taken().await? >= app.config.max_outbox {
        return Err(Problem::busy());
    }
    Ok(place)
}

/// Answers while the body may still be coming. A client that waits for `100 Continue` sends none.
fn refuse_early(problem: Problem, headers: &HeaderMap, body: Body) -> Response {
    if !headers.contains_key(header::EXPECT) {
        PacedBody::new(body).drain();
    }
    closing(problem)
}

/// A refusal in the middle of a body ends the connection: what follows on it is not a request.
fn closing(problem: Problem) -> Response {
    count(&problem);
    let mut response = problem.into_response();
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

fn content_type(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::CONTENT_TYPE)?.to_str().ok()
}

async fn take_raw(
    app: &Arc<App>,
    body: Body,
    declared: Declared,
    place: &Place,
) -> Result<Result<Taken, Response>, Problem> {
    let mut body = PacedBody::new(body);
    let name = declared.name.clone();
    match incoming::take(app, declared, &mut body, place).await {
        Ok(upload) => Ok(Ok(Taken { uploads: vec![upload], rejected: Vec::new() })),
        Err(Refusal::Problem(problem)) => {
            body.drain();
            Ok(Ok(Taken { uploads: Vec::new(), rejected: vec![Rejected { name, problem }] }))
        }
        Err(Refusal::Body(error)) => Err(body_problem(&error)),
        Err(Refusal::Form(error)) => Err(form_problem(&error)),
        Err(Refusal::Evicted) => Ok(Err(closing(Problem::busy()))),
    }
}

/// A form that is broken off is read on in the background, so that the client sees why. The answer names the files that
/// were accepted before.
async fn take_form(app: &Arc<App>, mut parts: Parts, from: FormFrom<'_>) -> Result<Taken, Problem> {
    let mut taken = Taken::default();
    match take_parts(app, &mut parts, &from, &mut taken).await {
        Ok(()) if taken.uploads.is_empty() && taken.rejected.is_empty() => Err(Problem::no_file()),
        Ok(()) => Ok(taken),
        Err(problem) => {
            parts.drain();
            telemetry::uploads("accepted", taken.uploads.len());
            Err(problem.with_uploads(taken.uploads))
        }
    }
}

async fn take_parts(
    app: &Arc<App>,
    parts: &mut Parts,
    from: &FormFrom<'_>,
    taken: &mut Taken,
) -> Result<(), Problem> {
    loop {
        let part = tokio::select! {
            biased;
            part = parts.next() => part?,
            () = from.place.must_go() => return Err(Problem::busy()),
        };
        let Some(mut part) = part else { return Ok(()) };
        let Some(name) = part.file() else {
            part.skip().await?;
            continue;
        };
        let bulk = from.bulk || taken.uploads.len() >= INTERACTIVE_FILES;
        let place = taken.uploads.len() + taken.rejected.len();
        let key = from.key.as_ref().map(|key| key.of_file(place));
        let declared = Declared { name: name.clone(), bulk, key, context: from.context.clone() };
        match incoming::take(app, declared, &mut part, from.place).await {
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

fn body_problem(error: &BodyError) -> Problem {
    match error {
        BodyError::TooSlow => Problem::too_slow(),
        BodyError::BrokenOff(_) => Problem::malformed("The body broke off."),
        BodyError::Overlong => Problem::malformed("Too much came before the next part of the form began."),
    }
}

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

async fn answer(app: &App, taken: Taken, headers: &HeaderMap, timing: &Timing) -> Result<Response, Problem> {
    let mut taken = taken;
    let Some(first) = taken.uploads.first() else {
        let mut problems = taken.rejected.into_iter().map(|rejected| rejected.problem);
        let problem = problems.next().unwrap_or_else(Problem::no_file);
        problems.for_each(|problem| count(&problem));
        return Ok(closing(problem));
    };
    telemetry::uploads("accepted", taken.uploads.len());
    taken.rejected.iter().for_each(|rejected| count(&rejected.problem));
    let location = first.links.this.clone();
    let form = Form::wanted(headers);
    if form == Form::Html {
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
    let mut response = match form {
        Form::Plain => {
            let link = |upload: &Upload| super::status::absolute(app, headers, &upload.links.this) + "\n";
            taken.uploads.iter().map(link).collect::<String>().into_response()
        }
        Form::Json | Form::Html => super::status::json(&taken),
    };
    *response.status_mut() = status;
    let headers = response.headers_mut();
    let location = HeaderValue::from_str(&location).map_err(|_| Problem::internal())?;
    headers.insert(header::LOCATION, location);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::VARY, HeaderValue::from_static("accept"));
    if status == StatusCode::ACCEPTED {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(RETRY_SOON));
    }
    if let Some((name, value)) = wait.map(Wait::applied) {
        headers.insert(name, value);
    }
    Ok(response)
}
