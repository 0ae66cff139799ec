//! The operations that read a thumbnail or an original.

use utoipa::openapi::{HttpMethod, PathItem, Type, schema::ObjectBuilder};
use worker::{Encoding, Format};

use super::components::{
    WithProblems, always, bytes, cached, id, if_none_match, in_path, operation, path, request_header,
    sometimes,
};
use crate::problem::Kind;

/// The last part of the path of a thumbnail.
const THUMBNAIL_NAME: &str = r"^(small|medium|large)(\.(jpg|png|webp))?$";

/// `/uploads/{id}/{size}`
pub(crate) fn thumbnail() -> PathItem {
    let whole = cached("The thumbnail. It never changes.");
    let whole = whole.header("Vary", sometimes("`accept`, unless the path names an encoding."));
    let whole = Encoding::ALL
        .into_iter()
        .fold(whole, |answer, encoding| answer.content(encoding.content_type(), bytes()));
    let get = operation(
        "get_thumbnail",
        "A thumbnail",
        "404 with `Retry-After` until it is ready, so a client can poll this path alone. A client that names `image/webp` \
         in `Accept` gets WebP, if there is one. `small.webp`, `small.jpg` and `small.png` serve one encoding alone.",
    )
    .parameter(id())
    .parameter(in_path(
        "size",
        "One of the three sizes, alone or with the extension of an encoding.",
        ObjectBuilder::new().schema_type(Type::String).pattern(Some(THUMBNAIL_NAME)),
    ))
    .parameter(if_none_match())
    .response("200", whole)
    .response("304", cached("The client has it."))
    .with_problems(&[
        Kind::UnknownUpload,
        Kind::SlowDown,
        Kind::NotYet,
        Kind::NotFound,
        Kind::Failed,
        Kind::Gone,
        Kind::Unavailable,
    ]);
    path(HttpMethod::Get, get)
}

/// `/uploads/{id}/original`
pub(crate) fn original() -> PathItem {
    let file = |description| {
        let answer = cached(description)
            .header("Accept-Ranges", always("`bytes`"))
            .header("Content-Disposition", always("The file's name."));
        Format::ALL.into_iter().fold(answer, |answer, format| answer.content(format.content_type(), bytes()))
    };
    let range = "One range of bytes. Anything else is ignored.";
    let if_range = "The ETag of the client's partial copy. If it does not match, the whole file is answered.";
    let get = operation("get_original", "The bytes as received", "")
        .parameter(id())
        .parameter(request_header("Range", range, "bytes=0-99", ObjectBuilder::new()))
        .parameter(request_header("If-Range", if_range, "\"0199f3c2\"", ObjectBuilder::new()))
        .parameter(if_none_match())
        .response("200", file("The whole file."))
        .response(
            "206",
            file("The requested range.")
                .header("Content-Range", always("The range, and the length of the file in bytes.")),
        )
        .response("304", cached("The client has it."))
        .with_problems(&[
            Kind::UnknownUpload,
            Kind::Gone,
            Kind::SlowDown,
            Kind::OutsideRange,
            Kind::Unavailable,
        ]);
    path(HttpMethod::Get, get)
}
