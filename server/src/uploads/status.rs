//! `GET /uploads/{id}`: how an upload stands, for programs, browsers and shell scripts.

use std::sync::Arc;

use axum::{
    extract::{Extension, State},
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

use super::{Id, negotiate::Form, page};
use crate::{app::App, live::wait::Wait, problem::Problem, request::Context};

/// Answers the state of an upload, at once or, if the client prefers to wait, at its end.
pub(crate) async fn status(
    State(app): State<Arc<App>>,
    Id(id): Id,
    Extension(context): Extension<Context>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let mut upload = context.timing.of("read", app.upload_or_problem(id)).await?;
    let wait = Wait::parse(&headers);
    if let Some(wait) = wait {
        upload = context.timing.of("wait", wait.for_one(&app, upload)).await;
    }
    let mut response = match Form::wanted(&headers) {
        Form::Json => json(&upload),
        Form::Plain => (absolute(&app, &headers, &upload.links.this) + "\n").into_response(),
        Form::Html => page::upload(&app, &headers, &upload)?,
    };
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("accept"));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some((name, value)) = wait.map(Wait::applied) {
        response.headers_mut().insert(name, value);
    }
    Ok(response)
}

/// A JSON answer; it ends with a newline, for whoever reads it in a terminal.
pub(crate) fn json<T: Serialize>(value: &T) -> Response {
    let mut body = serde_json::to_string(value).expect("an answer has only string keys and finite numbers");
    body.push('\n');
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::X_CONTENT_TYPE_OPTIONS, "nosniff")];
    (headers, body).into_response()
}

/// A link as a full URL, for where a path will not do. Without a public URL the request's own host is believed: the
/// answer goes to nobody else.
pub(crate) fn absolute(app: &App, headers: &HeaderMap, link: &str) -> String {
    if app.links.is_absolute() {
        return link.to_owned();
    }
    match headers.get(header::HOST).and_then(|host| host.to_str().ok()) {
        Some(host) => format!("http://{host}{link}"),
        None => link.to_owned(),
    }
}
