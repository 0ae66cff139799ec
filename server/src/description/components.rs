//! Building blocks for the descriptions of operations.

use axum::http::StatusCode;
use schemars::JsonSchema;
use utoipa::openapi::{
    Content, Header, HeaderBuilder, HttpMethod, Object, PathItem, Ref, RefOr, Required, Response,
    ResponseBuilder, Schema, SchemaFormat, Type,
    link::{Link, LinkBuilder},
    path::{OperationBuilder, Parameter, ParameterBuilder, ParameterIn},
    schema::{KnownFormat, ObjectBuilder},
};

use worker::UploadId;

use super::schemas::schema_ref;
use crate::problem::{CONTENT_TYPE, Kind, Problem};

/// An operation, with an id for programs and texts for people.
pub(super) fn operation(id: &str, summary: &str, description: &str) -> OperationBuilder {
    OperationBuilder::new()
        .operation_id(Some(id))
        .summary(Some(summary))
        .description((!description.is_empty()).then_some(description))
}

/// A path with one method.
pub(super) fn path(method: HttpMethod, operation: OperationBuilder) -> PathItem {
    PathItem::new(method, operation)
}

/// Adds the problems that an operation may answer.
pub(super) trait WithProblems {
    fn with_problems(self, kinds: &[Kind]) -> Self;
}

impl WithProblems for OperationBuilder {
    fn with_problems(self, kinds: &[Kind]) -> Self {
        problems(kinds)
            .into_iter()
            .fold(self, |operation, (status, response)| operation.response(status, response))
    }
}

/// The answers of these kinds: one for each status, with an example of each kind.
pub(super) fn problems(kinds: &[Kind]) -> Vec<(String, RefOr<Response>)> {
    let mut statuses: Vec<_> = kinds.iter().map(|kind| kind.about().status).collect();
    statuses.sort();
    statuses.dedup();
    let answer = |status: StatusCode| {
        let kinds: Vec<_> = kinds.iter().copied().filter(|kind| kind.about().status == status).collect();
        (status.as_u16().to_string(), problem_answer(&kinds).into())
    };
    statuses.into_iter().map(answer).collect()
}

/// The answer of these kinds, which have one status.
pub(super) fn problem_answer(kinds: &[Kind]) -> ResponseBuilder {
    let titles: Vec<_> = kinds.iter().map(|kind| kind.about().title).collect();
    let example = |kind: &Kind| {
        let name = kind.name();
        (name, RefOr::Ref(Ref::new(format!("#/components/examples/{name}"))))
    };
    let mut content = Content::new(Some(schema_ref::<Problem>()));
    content.examples.extend(kinds.iter().map(example).map(|(name, example)| (name.to_owned(), example)));
    let mut response = answer(&titles.join(" "))
        .content(CONTENT_TYPE, content)
        .content("text/html", text())
        .header("Vary", always("`accept`"));
    let later = kinds.iter().filter(|kind| kind.about().retry_after.is_some()).count();
    if later > 0 {
        response = response.header("Retry-After", seconds(later == kinds.len()));
    }
    for kind in kinds {
        response = match kind {
            Kind::OutsideRange => {
                response.header("Content-Range", always("The length of the file in bytes."))
            }
            Kind::TokenNeeded => response.header("WWW-Authenticate", always("`Bearer`")),
            Kind::UpgradeRequired => response
                .header("Upgrade", sometimes("`websocket`"))
                .header("Sec-WebSocket-Version", sometimes("The supported version of the protocol.")),
            _ => response,
        };
    }
    response
}

/// An answer with a description.
pub(super) fn answer(description: &str) -> ResponseBuilder {
    ResponseBuilder::new().description(description)
}

/// An answer with a body of a type.
pub(super) fn json<T: JsonSchema>(description: &str) -> ResponseBuilder {
    answer(description).content("application/json", Content::new(Some(schema_ref::<T>())))
}

/// A body of text.
pub(super) fn text() -> Content {
    Content::new(Some(Object::with_type(Type::String)))
}

/// A body of bytes without a schema.
pub(super) fn bytes() -> Content {
    Content::new(None::<Schema>)
}

/// The schema of bytes that a client sends.
pub(super) fn binary() -> Object {
    let format = SchemaFormat::KnownFormat(KnownFormat::Binary);
    ObjectBuilder::new().schema_type(Type::String).format(Some(format)).build()
}

/// A header that is always present.
pub(super) fn always(description: &str) -> Header {
    let mut header = sometimes(description);
    // The library has no field for `required`.
    header.extensions = Some([("required", true)].into_iter().collect());
    header
}

/// A header that may be absent.
pub(super) fn sometimes(description: &str) -> Header {
    HeaderBuilder::new().description(Some(description)).build()
}

/// `Retry-After`.
pub(super) fn seconds(is_always: bool) -> Header {
    let description = "Seconds to wait before a retry.";
    let mut header = if is_always { always(description) } else { sometimes(description) };
    header.schema = Some(Object::with_type(Type::Integer).into());
    header
}

/// A parameter in the path.
pub(super) fn in_path(name: &str, description: &str, schema: impl Into<RefOr<Schema>>) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Path)
        .required(Required::True)
        .description(Some(description))
        .schema(Some(schema))
        .build()
}

/// An optional header of a request.
pub(super) fn request_header(
    name: &str,
    description: &str,
    example: &str,
    schema: ObjectBuilder,
) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(description))
        .schema(Some(schema.schema_type(Type::String)))
        .example(Some(example.into()))
        .build()
}

/// A link from an answer to an operation, with the path of the upload's id in the answer.
pub(super) fn link(operation: &str, id_at: &str) -> Link {
    LinkBuilder::new().operation_id(operation).parameter("id", id_at).build()
}

/// A redirect to the page of an upload.
pub(super) fn see_other() -> ResponseBuilder {
    answer("For browsers that sent a form without script: a redirect to the page of the upload.")
        .header("Location", always("The upload."))
        .header("Cache-Control", always("`no-store`"))
}

/// A page.
pub(super) fn html(description: &str) -> ResponseBuilder {
    answer(description)
        .content("text/html", text())
        .header("Cache-Control", always("How long the page may be cached."))
}

/// An answer that never changes.
pub(super) fn cached(description: &str) -> ResponseBuilder {
    answer(description)
        .header("ETag", always("Strong."))
        .header("Cache-Control", always("Immutable, for a year."))
}

/// The id of an upload, in the path.
pub(super) fn id() -> Parameter {
    in_path("id", "The upload.", schema_ref::<UploadId>())
}

/// The `Prefer` header (RFC 7240).
pub(super) fn prefer() -> Parameter {
    let description =
        "`wait`: the maximum number of seconds (RFC 7240) to wait for the end of the upload; at most 25.";
    request_header("Prefer", description, "wait=20", ObjectBuilder::new())
}

/// The `If-None-Match` header of answers that may be cached.
pub(super) fn if_none_match() -> Parameter {
    request_header("If-None-Match", "The ETag of the client's copy.", "\"0\"", ObjectBuilder::new())
}
