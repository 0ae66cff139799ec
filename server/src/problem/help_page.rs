//! `GET /problems/{kind}`: what a kind of problem means, since people open the address in `type`.

use askama::Template;
use axum::{
    extract::{Path, rejection::PathRejection},
    http::{HeaderValue, header},
    response::{Html, IntoResponse, Response},
};

use strum::VariantArray;

use super::{Kind, Problem};
use crate::frontend::PAGE_HEADERS;

/// How long a page may be kept: it changes with the server's version only.
const CACHED: &str = "public, max-age=3600";

/// Why an upload that was accepted can fail, as its `error` says, beside what is a kind of problem itself: name, what
/// is wrong, and what to do.
#[rustfmt::skip]
const FAILURES: [(&str, &str, &str); 8] = [
    ("cannot-be-decoded", "The file is damaged.",
        "Open it elsewhere and save it anew, or copy it again."),
    ("took-too-long", "It took too long to make smaller, so we stopped.",
        "Save it without progressive scans or in fewer pixels; whoever runs the server can raise --job-timeout."),
    ("too-much-memory", "It needs more memory than a picture may have.",
        "Scale it down; whoever runs the server can raise --job-memory-bytes."),
    ("original-gone", "The file is no longer there.",
        "Send the picture again."),
    ("exhausted", "It failed again and again, so we stopped.",
        "Retry it later. Whoever runs the server finds it with up-worker dead list."),
    ("killed-its-workers", "It crashed our worker every time, so we stopped.",
        "Save it in another format. Whoever runs the server finds it with up-worker dead list."),
    ("unreadable", "Its job could not be read.",
        "Retry it."),
    ("forgotten", "Its state in storage is damaged.",
        "Retry it: the original is still there."),
];

#[derive(Template)]
#[template(path = "problem.html")]
struct ProblemPage {
    name: &'static str,
    /// None of what befalls an upload after its answer.
    status: Option<u16>,
    title: &'static str,
    advice: &'static str,
}

/// Explains one kind.
pub(crate) async fn help_page(name: Result<Path<String>, PathRejection>) -> Result<Response, Problem> {
    let page = name.ok().and_then(|Path(name)| find(&name)).ok_or_else(Problem::not_found)?;
    let html = page.render().map_err(|error| {
        tracing::error!(%error, "could not render the page of a problem");
        Problem::internal()
    })?;
    let cached = [(header::CACHE_CONTROL, HeaderValue::from_static(CACHED))];
    Ok((PAGE_HEADERS, cached, Html(html)).into_response())
}

/// Every kind that has a page.
pub(crate) fn names() -> Vec<&'static str> {
    let kinds = Kind::VARIANTS.iter().map(|kind| kind.name());
    kinds.chain(FAILURES.map(|(name, ..)| name)).collect()
}

fn find(name: &str) -> Option<ProblemPage> {
    if let Some(kind) = Kind::named(name) {
        let about = kind.about();
        let status = Some(about.status.as_u16());
        return Some(ProblemPage { name: kind.name(), status, title: about.title, advice: about.advice });
    }
    let (name, title, advice) = FAILURES.into_iter().find(|(failure, ..)| *failure == name)?;
    Some(ProblemPage { name, status: None, title, advice })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_an_upload_fails_of_has_a_page() {
        for kind in worker::consumer::FAILURE_KINDS {
            assert!(find(kind).is_some(), "{kind}");
        }
    }
}
