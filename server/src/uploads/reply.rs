//! The answer to an upload request: the files that were accepted, those that were refused, or the problem of the request.

use axum::{
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use schemars::JsonSchema;
use serde::Serialize;

use super::{
    body::{PacedBody, closing},
    form_results::FormResults,
    representation::Representation,
    token_cookie,
};
use crate::{
    answer::{NO_STORE, absolute, json, see_other},
    app::App,
    live::wait::Wait,
    problem::{Problem, RETRY_SOON},
    request::Timing,
    telemetry,
    tokens::AcceptedUpload,
};

/// The accepted and rejected files of one request, each in the order of the request.
#[derive(Default, Serialize, JsonSchema)]
pub(crate) struct UploadResults {
    pub(super) uploads: Vec<AcceptedUpload>,
    pub(super) rejected: Vec<Rejected>,
}

/// A file that was rejected, and the problem.
#[derive(Serialize, JsonSchema)]
pub(super) struct Rejected {
    /// The name of the file.
    pub(super) name: String,
    #[serde(flatten)]
    pub(super) problem: Problem,
}

/// A refused request.
pub(super) struct Refused {
    pub(super) problem: Problem,
    /// The file of the form that has the problem, if it is not the form itself.
    pub(super) name: Option<String>,
    /// The other files of the form that were accepted or rejected.
    pub(super) results: UploadResults,
    /// The rest of the body, if the client is sending one.
    pub(super) rest: Option<PacedBody>,
}

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Self { problem, name: None, results: UploadResults::default(), rest: None }
    }
}

impl Refused {
    pub(super) fn with_rest(self, rest: impl Into<Option<PacedBody>>) -> Self {
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
        let list = FormResults::new(&self.results.uploads, named.into_iter().chain(self.results.rejected()));
        let list = if named.is_some() { list } else { list.ended_by(&self.problem) };
        let mut response = closing(self.problem.with_uploads(self.results.uploads), self.rest);
        if list.is_list() {
            response.extensions_mut().insert(list);
        }
        response
    }
}

impl UploadResults {
    pub(super) fn is_empty(&self) -> bool {
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

/// The answer to a request with at least one accepted file.
pub(super) async fn answer(
    app: &App,
    mut results: UploadResults,
    headers: &HeaderMap,
    timing: &Timing,
) -> Result<Response, Refused> {
    results.count();
    let Some(first) = results.uploads.first() else { return Err(Problem::no_file().into()) };
    let location = first.upload.links.this.clone();
    let representation = Representation::preferred(headers);
    let list = FormResults::new(&results.uploads, results.rejected());
    if representation == Representation::Html && !list.is_list() {
        let cookie = token_cookie::set(app, &location, &first.token);
        return Ok(([(header::SET_COOKIE, cookie)], see_other(location)).into_response());
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
