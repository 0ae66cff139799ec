//! `GET /problems/{kind}`: the page that explains a kind of problem. People open the address in `type`. A browser gets
//! the same page, with more about its request, as the answer to a request that is refused.

use std::borrow::Cow;

use askama::Template;
use axum::{
    extract::{Path, rejection::PathRejection},
    http::{HeaderValue, header},
    response::{Html, IntoResponse, Response},
};

use strum::VariantArray;

use super::{Kind, Problem};
use crate::frontend::PAGE_HEADERS;

/// How long a page may be cached: it changes only with the server's version.
const CACHED: &str = "public, max-age=3600";

/// Failures of accepted uploads, as the upload's `error` names them: name, title and advice. Failures that are a
/// [`Kind`] as well are not listed.
#[rustfmt::skip]
const FAILURES: [(&str, &str, &str); 8] = [
    ("cannot-be-decoded", "The file is damaged.",
        "Open it in another program and save it again, or copy it again."),
    ("took-too-long", "It took too long to make smaller, so we stopped.",
        "Save it without progressive scans or with fewer pixels. The operator can raise --job-timeout."),
    ("too-much-memory", "It needs more memory than a picture may have.",
        "Scale it down. The operator can raise --job-memory-bytes."),
    ("original-gone", "The file is no longer there.",
        "Send the picture again."),
    ("exhausted", "It failed again and again, so we stopped.",
        "Retry it later. The operator finds it with up-worker dead list."),
    ("killed-its-workers", "It crashed our worker every time, so we stopped.",
        "Save it in another format. The operator finds it with up-worker dead list."),
    ("unreadable", "Its job could not be read.",
        "Retry it."),
    ("forgotten", "Its state in storage is damaged.",
        "Retry it: the original is still there."),
];

/// The values of the template.
#[derive(Template)]
#[template(path = "problem.html")]
pub(crate) struct ProblemPage {
    /// Relative prefix to the root of the service.
    base: String,
    name: &'static str,
    /// `None` for failures of uploads that were accepted.
    status: Option<u16>,
    title: Cow<'static, str>,
    advice: &'static str,
    /// More about the request.
    detail: Option<String>,
    /// The id of the request, where an operator needs it.
    request_id: Option<String>,
}

impl ProblemPage {
    /// The page for the request that has this problem.
    pub(crate) fn of(problem: &Problem, base: String, request_id: Option<&str>) -> Self {
        let kind = problem.kind;
        let advice = kind.about().advice;
        Self {
            base,
            name: kind.name(),
            status: Some(problem.status),
            title: problem.title.clone(),
            advice,
            detail: problem.detail.clone().filter(|detail| detail != advice),
            request_id: request_id.filter(|_| kind == Kind::Internal).map(str::to_owned),
        }
    }

    /// The page about a kind, without a request.
    fn about(name: &'static str, status: Option<u16>, title: &'static str, advice: &'static str) -> Self {
        let (base, title) = ("../".to_owned(), title.into());
        Self { base, name, status, title, advice, detail: None, request_id: None }
    }
}

/// Answers the page of one kind.
pub(crate) async fn help_page(name: Result<Path<String>, PathRejection>) -> Result<Response, Problem> {
    let page = name.ok().and_then(|Path(name)| find(&name)).ok_or_else(Problem::not_found)?;
    let cached = [(header::CACHE_CONTROL, HeaderValue::from_static(CACHED))];
    Ok((PAGE_HEADERS, cached, render(&page)?).into_response())
}

fn render(page: &ProblemPage) -> Result<Html<String>, Problem> {
    page.render().map(Html).map_err(|error| {
        tracing::error!(%error, "could not render the page of a problem");
        Problem::internal()
    })
}

/// The names of all kinds that have a page.
pub(crate) fn names() -> Vec<&'static str> {
    let kinds = Kind::VARIANTS.iter().map(|kind| kind.name());
    kinds.chain(FAILURES.map(|(name, ..)| name)).collect()
}

fn find(name: &str) -> Option<ProblemPage> {
    if let Some(kind) = Kind::named(name) {
        let about = kind.about();
        let status = Some(about.status.as_u16());
        return Some(ProblemPage::about(kind.name(), status, about.title, about.advice));
    }
    let (name, title, advice) = FAILURES.into_iter().find(|(failure, ..)| *failure == name)?;
    Some(ProblemPage::about(name, None, title, advice))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_upload_failure_has_a_page() {
        for kind in worker::consumer::FAILURE_KINDS {
            assert!(find(kind).is_some(), "{kind}");
        }
    }
}
