//! Pages instead of JSON, for browsers: every problem, and the files of a form that was sent without script.
//!
//! Handlers answer JSON. They attach the [`Problem`] or the [`FormResults`] to the response, and [`for_browsers`] replaces
//! the body if the request prefers `text/html`. Status and headers stay.

use askama::Template;
use axum::{
    body::Body,
    extract::Request,
    http::{HeaderValue, header},
    middleware::Next,
    response::Response,
};

use crate::{
    frontend::PAGE_HEADERS,
    problem::{Problem, help_page::ProblemPage},
    request::REQUEST_ID,
    uploads::{form_results::FormResults, representation::Representation},
};

/// The limit of `../` in the links of a page. The server has no path of more than three slashes, and a page for a longer
/// one would be many times as long as its request.
const MAX_DEPTH: usize = 8;

/// Middleware: answers pages to browsers.
pub(crate) async fn for_browsers(request: Request, next: Next) -> Response {
    let representation = Representation::preferred(request.headers());
    let base = base(request.uri().path());
    let mut response = next.run(request).await;
    let results = response.extensions_mut().remove::<FormResults>();
    let problem = response.extensions_mut().remove::<Problem>();
    if results.is_none() && problem.is_none() {
        return response;
    }
    if problem.is_some() {
        response.headers_mut().append(header::VARY, HeaderValue::from_static("accept"));
    }
    if representation != Representation::Html {
        return response;
    }
    let id = response.headers().get(&REQUEST_ID).and_then(|id| id.to_str().ok());
    let html = match (results, problem) {
        (Some(results), _) => results.page(base).render(),
        (None, Some(problem)) => ProblemPage::of(&problem, base, id).render(),
        (None, None) => return response,
    };
    match html {
        Ok(html) => as_page(response, html),
        Err(error) => {
            tracing::error!(%error, "could not render the page of a problem");
            response
        }
    }
}

/// The response with a page as its body.
fn as_page(mut response: Response, html: String) -> Response {
    let headers = response.headers_mut();
    // Set for the body that is replaced.
    headers.remove(header::CONTENT_LENGTH);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    for (name, value) in PAGE_HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    *response.body_mut() = Body::from(html);
    response
}

/// The relative prefix from a path to the root of the service, which may lie below a prefix that only a proxy knows.
fn base(path: &str) -> String {
    match path.matches('/').count() {
        0 | 1 => "./".to_owned(),
        slashes => "../".repeat((slashes - 1).min(MAX_DEPTH)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_base_of_a_page_leads_to_the_root() {
        for (path, expected) in [
            ("/", "./"),
            ("/uploads", "./"),
            ("/uploads/", "../"),
            ("/uploads/x", "../"),
            ("/uploads/x/retry", "../../"),
            ("//x", "../"),
        ] {
            assert_eq!(base(path), expected, "{path}");
        }
        assert_eq!(base(&"/".repeat(10_000)).len(), 3 * MAX_DEPTH);
    }
}
