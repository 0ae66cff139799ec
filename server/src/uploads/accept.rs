//! `POST /uploads` and `PUT /uploads/{filename}`: from a request to answers about its pictures.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Query, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use multer::{Constraints, Multipart, SizeLimit};
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::sync::OwnedSemaphorePermit;
use worker::Upload;

use super::{
    body::{BodyError, PacedBody, declared_length},
    idempotency::Key,
    incoming::{self, Declared, Refusal},
    name,
    negotiate::Form,
};
use crate::{
    app::App,
    live::{origin, wait::Wait},
    problem::{Problem, RETRY_SOON},
};

/// Parts that a form may have, files and others together. A page sends one file at a time; a script that sends more
/// than this in one request has no use of the answer.
const MAX_PARTS: usize = 1000;

/// A request with more files than this goes to the bulk lane.
const INTERACTIVE_FILES: usize = 10;

/// What a form costs in bytes beside its files, at most.
const FORM_OVERHEAD_BYTES: u64 = 4 * 1024 * 1024;

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

/// What became of the pictures of one request.
#[derive(Default)]
struct Taken {
    uploads: Vec<Upload>,
    rejected: Vec<(String, Problem)>,
}

/// Takes a form, or a raw picture.
pub(crate) async fn post(
    State(app): State<Arc<App>>,
    Query(options): Query<Options>,
    request: Request,
) -> Result<Response, Problem> {
    take(&app, &options, request, None).await
}

/// Takes a raw picture by the name in its path.
pub(crate) async fn put(
    State(app): State<Arc<App>>,
    Query(options): Query<Options>,
    request: Request,
) -> Result<Response, Problem> {
    let last = request.uri().path().strip_prefix("/uploads/").unwrap_or_default();
    let name = percent_decode_str(last).decode_utf8_lossy().into_owned();
    take(&app, &options, request, Some(name)).await
}

async fn take(
    app: &Arc<App>,
    options: &Options,
    request: Request,
    name: Option<String>,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let headers = parts.headers;
    let _place = match admit(app, &headers).await {
        Ok(place) => place,
        Err(problem) => return Ok(refuse_early(problem, &headers, body)),
    };
    let key = match Key::of(&headers, app).await {
        Ok(key) => key,
        Err(problem) => return Ok(refuse_early(problem, &headers, body)),
    };
    let boundary = content_type(&headers).and_then(|content_type| multer::parse_boundary(content_type).ok());
    let is_form = content_type(&headers).is_some_and(|content_type| content_type.starts_with("multipart/"));
    let bulk = options.lane == Some(LaneOption::Bulk);
    let taken = match boundary {
        Some(boundary) if name.is_none() => take_form(app, body, boundary, bulk, key).await?,
        None if name.is_none() && is_form => {
            return Ok(refuse_early(Problem::malformed("The form names no boundary."), &headers, body));
        }
        _ => {
            let limit = app.config.max_upload_bytes;
            if declared_length(&headers).is_some_and(|length| length > limit) {
                return Ok(refuse_early(Problem::too_large(limit), &headers, body));
            }
            let name = name::clean(name.as_deref().unwrap_or_default());
            let key = key.as_ref().map(|key| key.of_file(0));
            take_raw(app, body, Declared { name, bulk, key }).await?
        }
    };
    answer(app, taken, &headers).await
}

/// Whether an upload may come in at all.
async fn admit(app: &App, headers: &HeaderMap) -> Result<OwnedSemaphorePermit, Problem> {
    if !origin::is_allowed(headers, &app.config) {
        return Err(Problem::cross_site());
    }
    if app.draining.is_cancelled() {
        return Err(Problem::draining());
    }
    let place = Arc::clone(&app.places).try_acquire_owned().map_err(|_| Problem::busy())?;
    if app.outbox.waiting().await? >= app.config.max_outbox {
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
    let mut response = problem.into_response();
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

fn content_type(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::CONTENT_TYPE)?.to_str().ok()
}

async fn take_raw(app: &Arc<App>, body: Body, declared: Declared) -> Result<Taken, Problem> {
    let mut body = PacedBody::new(body);
    let name = declared.name.clone();
    match incoming::take(app, declared, &mut body).await {
        Ok(upload) => Ok(Taken { uploads: vec![upload], rejected: Vec::new() }),
        Err(Refusal::Problem(problem)) => {
            body.drain();
            Ok(Taken { uploads: Vec::new(), rejected: vec![(name, problem)] })
        }
        Err(Refusal::Body(error)) => Err(body_problem(&error)),
        Err(Refusal::Form(error)) => Err(form_problem(&error)),
    }
}

async fn take_form(
    app: &Arc<App>,
    body: Body,
    boundary: String,
    bulk: bool,
    key: Option<Key>,
) -> Result<Taken, Problem> {
    let limit =
        app.config.max_upload_bytes.saturating_mul(MAX_PARTS as u64).saturating_add(FORM_OVERHEAD_BYTES);
    let constraints = Constraints::new().size_limit(SizeLimit::new().whole_stream(limit));
    let mut form = Multipart::with_constraints(PacedBody::new(body), boundary, constraints);
    let mut taken = Taken::default();
    let mut parts = 0;
    while let Some(mut field) = form.next_field().await.map_err(|error| form_problem(&error))? {
        parts += 1;
        if parts > MAX_PARTS {
            return Err(Problem::too_many_parts(MAX_PARTS));
        }
        let name = match (field.file_name(), field.name()) {
            // What a browser sends for a file input without a file.
            (Some(""), _) => continue,
            (Some(name), _) => name::clean_of_form(name),
            (None, Some("file")) => name::clean(""),
            (None, _) => continue,
        };
        let bulk = bulk || taken.uploads.len() >= INTERACTIVE_FILES;
        let place = taken.uploads.len() + taken.rejected.len();
        let key = key.as_ref().map(|key| key.of_file(place));
        match incoming::take(app, Declared { name: name.clone(), bulk, key }, &mut field).await {
            Ok(upload) => taken.uploads.push(upload),
            Err(Refusal::Problem(problem)) => taken.rejected.push((name, problem)),
            Err(Refusal::Body(error)) => return Err(body_problem(&error)),
            Err(Refusal::Form(error)) => return Err(form_problem(&error)),
        }
    }
    if taken.uploads.is_empty() && taken.rejected.is_empty() { Err(Problem::no_file()) } else { Ok(taken) }
}

fn body_problem(error: &BodyError) -> Problem {
    match error {
        BodyError::TooSlow => Problem::too_slow(),
        BodyError::BrokenOff(_) => Problem::malformed("The body broke off."),
    }
}

fn form_problem(error: &multer::Error) -> Problem {
    match error {
        multer::Error::StreamReadFailed(source) => match source.downcast_ref::<BodyError>() {
            Some(error) => body_problem(error),
            None => Problem::malformed("The body broke off."),
        },
        multer::Error::StreamSizeExceeded { limit } => Problem::too_large(*limit),
        other => Problem::malformed(format!("The form is broken: {other}.")),
    }
}

async fn answer(app: &App, taken: Taken, headers: &HeaderMap) -> Result<Response, Problem> {
    let Taken { mut uploads, rejected } = taken;
    let Some(first) = uploads.first() else {
        let problem = rejected.into_iter().next().map_or_else(Problem::no_file, |(_, problem)| problem);
        return Ok(closing(problem));
    };
    let location = first.links.this.clone();
    let form = Form::wanted(headers);
    if form == Form::Html {
        return Ok((StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response());
    }
    let mut status = StatusCode::ACCEPTED;
    let wait = Wait::parse(headers);
    if let Some(wait) = wait {
        uploads = wait.for_end(app, uploads).await;
        if uploads.iter().all(|upload| upload.state.is_final()) {
            status = StatusCode::CREATED;
        }
    }
    let mut response = match form {
        Form::Plain => {
            let urls =
                uploads.iter().map(|upload| super::status::absolute(app, headers, &upload.links.this) + "\n");
            urls.collect::<String>().into_response()
        }
        Form::Json | Form::Html => json_answer(&uploads, &rejected),
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

fn json_answer(uploads: &[Upload], rejected: &[(String, Problem)]) -> Response {
    let rejected: Vec<Value> = rejected
        .iter()
        .map(|(name, problem)| {
            let mut members: Map<String, Value> = Map::from_iter([("name".to_owned(), name.as_str().into())]);
            members.extend(problem.to_json());
            members.into()
        })
        .collect();
    super::status::json(&json!({ "uploads": uploads, "rejected": rejected }))
}
