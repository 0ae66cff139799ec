//! The operations that delete an upload.

use utoipa::openapi::{
    Content, HttpMethod, PathItem, Required, ResponseBuilder, Type,
    path::OperationBuilder,
    request_body::RequestBodyBuilder,
    schema::{Object, ObjectBuilder},
};

use super::components::{
    WithProblems, always, answer, id, operation, path, problem_answer, request_header, see_other, sometimes,
    text,
};
use crate::problem::Kind;

/// The problems of a deletion.
const DELETE_PROBLEMS: [Kind; 7] = [
    Kind::TokenNeeded,
    Kind::CrossSite,
    Kind::WrongToken,
    Kind::UnknownUpload,
    Kind::TooManyWrongKeys,
    Kind::Draining,
    Kind::Unavailable,
];

/// `DELETE /uploads/{id}`
pub(super) fn delete() -> OperationBuilder {
    let token = ObjectBuilder::new().pattern(Some("^Bearer .+$"));
    operation(
        "delete_upload",
        "Delete an upload",
        "For who holds the `token` of the answer to the upload. May be repeated.",
    )
    .parameter(id())
    .parameter(request_header("Authorization", "The token of the upload.", "Bearer abc", token))
    .response("204", answer("The upload is deleted.").header("Cache-Control", always("`no-store`")))
    .with_problems(&DELETE_PROBLEMS)
}

/// A deleted upload: the problem, or a page for browsers.
pub(super) fn gone_or_page() -> ResponseBuilder {
    problem_answer(&[Kind::Gone]).content("text/html", text()).header("Vary", sometimes("`accept`"))
}

/// `/uploads/{id}/delete`
pub(crate) fn delete_form() -> PathItem {
    let token = ObjectBuilder::new().property("token", Object::with_type(Type::String)).required("token");
    let body = RequestBodyBuilder::new()
        .required(Some(Required::True))
        .content("application/x-www-form-urlencoded", Content::new(Some(token)));
    let post = operation("delete_upload_by_form", "Delete an upload, for pages without script", "")
        .parameter(id())
        .request_body(Some(body.build()))
        .response("303", see_other())
        .with_problems(&[&DELETE_PROBLEMS[..], &[Kind::Malformed, Kind::TooSlow]].concat());
    path(HttpMethod::Post, post)
}
