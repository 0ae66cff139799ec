//! `GET /uploads/{id}`: the state of an upload, for programs, browsers and shell scripts.

use std::sync::Arc;

use axum::{
    extract::{Extension, State},
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse, Response},
};

use super::{representation::Representation, upload_page};
use crate::{
    answer::{NO_STORE, absolute, json},
    app::App,
    client::Client,
    extract::Id,
    live::wait::Wait,
    problem::Problem,
    request::Context,
};

/// Answers the state of an upload: at once, or at its end if the client sent `Prefer: wait`.
pub(crate) async fn status(
    State(app): State<Arc<App>>,
    Id(id): Id,
    Extension(context): Extension<Context>,
    client: Client,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let representation = Representation::preferred(&headers);
    let mut upload = context.timing.of("read", app.upload_or_problem(client, id)).await?;
    let wait = Wait::parse(&headers);
    if let Some(wait) = wait {
        upload = context.timing.of("wait", wait.for_one(&app, upload)).await;
    }
    if upload.is_gone() {
        return Err(Problem::gone());
    }
    let mut response = match representation {
        Representation::Json => json(&upload),
        Representation::Plain => (absolute(&app.links, &headers, &upload.links.this) + "\n").into_response(),
        Representation::Html => upload_page::render(&app, &headers, &upload)?,
    };
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("accept"));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static(NO_STORE));
    if let Some((name, value)) = wait.map(Wait::applied) {
        response.headers_mut().insert(name, value);
    }
    Ok(response)
}
