//! `GET /openapi.json`: the route table and its description, which grow together.

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

/// What the whole description is headed with.
const ABOUT: &str = "An image uploader made of messages: a picture is kept and answered at once, workers make three \
    thumbnails, and whoever waits is told.\n\nErrors are `application/problem+json` (RFC 9457). Every answer has an \
    `X-Request-Id`: the client's own, if that is a short token. A W3C `traceparent` is taken up and goes on to the \
    worker. What is said on the socket and in the queue is described at `/asyncapi.json`.";

/// A router and the description of what it serves.
#[derive(Default)]
pub(crate) struct Described {
    router: Router<Arc<App>>,
    paths: Paths,
}

impl Described {
    /// Serves a path. Its description names the methods, too; that they are the same is tested with a real server.
    pub(crate) fn route(
        mut self,
        path: &str,
        methods: MethodRouter<Arc<App>>,
        description: impl Into<PathItem>,
    ) -> Self {
        self.router = self.router.route(path, methods);
        self.describe(path, description)
    }

    /// Serves what another router serves, of which one path is described: the others belong to it.
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

    /// The router, which serves the description of itself, too.
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
        "schemas": schemas::of_answers(),
        "examples": Map::from_iter(examples),
        "headers": { REQUEST_ID: {
            "description": "Names this request in the log.",
            "required": true,
            "schema": { "type": "string" },
        } },
    });
    document
}

const REQUEST_ID: &str = "X-Request-Id";

/// Adds what holds everywhere: a panic is answered, answers have an id, and what can be got can be asked for its
/// headers alone.
fn completed(mut item: PathItem) -> PathItem {
    for operation in [&mut item.get, &mut item.put, &mut item.post].into_iter().flatten() {
        let responses = &mut operation.responses.responses;
        responses.extend(operations::problems(&[Kind::Internal]));
        for response in answers(&mut operation.responses) {
            let place = Ref::new(format!("#/components/headers/{REQUEST_ID}"));
            response.headers.insert(REQUEST_ID.to_owned(), RefOr::Ref(place));
        }
    }
    item.head = item.get.clone().map(head);
    item
}

fn head(mut get: Operation) -> Operation {
    get.operation_id = None;
    // Only a GET can be an upgrade, or be for a part.
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
