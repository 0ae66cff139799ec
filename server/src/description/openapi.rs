//! `GET /openapi.json`: a route and its description are added in one call.

use std::sync::Arc;

use axum::{
    Router,
    routing::{MethodRouter, get},
};
use serde_json::{Map, Value, json};
use strum::VariantArray;
use utoipa::openapi::{
    Info, OpenApi, PathItem, Paths, Ref, RefOr, Response, path::Operation, response::Responses,
};

use super::{Document, operations, schemas};
use crate::{
    app::App,
    problem::{Kind, Problem},
};

/// The introduction of the document.
const ABOUT: &str = "A message-based image uploader: a picture is stored and answered at once, workers make three \
    thumbnails, and subscribers receive the result.\n\nErrors are `application/problem+json` (RFC 9457). Every answer \
    has an `X-Request-Id`: the one of the request, if that is a short token. A W3C `traceparent` is continued and \
    passed to the worker. `/asyncapi.json` describes the messages of the socket and the queue.";

/// A router and the description of its routes.
#[derive(Default)]
pub(crate) struct Described {
    router: Router<Arc<App>>,
    paths: Paths,
}

impl Described {
    /// Adds a path. Its description names the methods too; a test with a real server compares the two.
    pub(crate) fn route(
        mut self,
        path: &str,
        methods: MethodRouter<Arc<App>>,
        description: impl Into<PathItem>,
    ) -> Self {
        self.router = self.router.route(path, methods);
        self.describe(path, description)
    }

    /// Adds the routes of another router. Only one path is described: the others belong to it.
    pub(crate) fn merge(
        mut self,
        router: Router<Arc<App>>,
        path: &str,
        description: impl Into<PathItem>,
    ) -> Self {
        self.router = self.router.merge(router);
        self.describe(path, description)
    }

    fn describe(mut self, path: &str, description: impl Into<PathItem>) -> Self {
        self.paths.paths.insert(path.to_owned(), completed(description.into()));
        self
    }

    /// The router, which also serves its own description at a path.
    pub(crate) fn described_at(self, path: &str) -> Router<Arc<App>> {
        let Self { router, paths } = self.describe(path, operations::openapi());
        let document = Document::new(&document(paths));
        router.route(path, get(async || document))
    }
}

fn document(paths: Paths) -> Value {
    let mut info = Info::new("up!", env!("CARGO_PKG_VERSION"));
    info.description = Some(ABOUT.to_owned());
    let mut document =
        serde_json::to_value(OpenApi::new(info, paths)).expect("a description has string keys");
    let examples = Kind::VARIANTS.iter().map(|kind| {
        let example = json!({ "summary": kind.about().advice, "value": Problem::from(*kind) });
        (kind.name().to_owned(), example)
    });
    document["components"] = json!({
        "schemas": schemas::response_schemas(),
        "examples": Map::from_iter(examples),
        "headers": { REQUEST_ID: {
            "description": "Identifies this request in the log.",
            "required": true,
            "schema": { "type": "string" },
        } },
    });
    document
}

const REQUEST_ID: &str = "X-Request-Id";

/// Adds the parts that all paths share: 500 for a panic, the request's id in every answer, and HEAD wherever there is
/// GET.
fn completed(mut item: PathItem) -> PathItem {
    let methods = [&mut item.get, &mut item.put, &mut item.post, &mut item.delete];
    for operation in methods.into_iter().flatten() {
        let responses = &mut operation.responses.responses;
        responses.extend(operations::problems(&[Kind::Internal]));
        for response in answers(&mut operation.responses) {
            let header = Ref::new(format!("#/components/headers/{REQUEST_ID}"));
            response.headers.insert(REQUEST_ID.to_owned(), RefOr::Ref(header));
        }
    }
    item.head = item.get.clone().map(head);
    item
}

fn head(mut get: Operation) -> Operation {
    get.operation_id = None;
    // Only GET can upgrade or request a range.
    for status in ["101", "206", "416"] {
        get.responses.responses.remove(status);
    }
    if let Some(parameters) = &mut get.parameters {
        parameters.retain(|parameter| match parameter {
            RefOr::T(parameter) => !["Range", "If-Range"].contains(&&*parameter.name),
            RefOr::Ref(_) => true,
        });
    }
    for response in answers(&mut get.responses) {
        response.content.clear();
        response.links.clear();
    }
    get
}

fn answers(responses: &mut Responses) -> impl Iterator<Item = &mut Response> {
    responses.responses.values_mut().filter_map(|response| match response {
        RefOr::T(response) => Some(response),
        RefOr::Ref(_) => None,
    })
}
