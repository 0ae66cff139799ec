//! The operations of each path, in the order of the route table. They stand here and not beside their handlers, because
//! they share their parts, and the route table names handler and operation in one line: neither can be forgotten.

use utoipa::openapi::{
    Content, HttpMethod, PathItem, Required, ResponseBuilder, Type,
    path::{OperationBuilder, ParameterBuilder, ParameterIn},
    request_body::{RequestBody, RequestBodyBuilder},
    schema::{ArrayBuilder, Object, ObjectBuilder},
};
use worker::{Encoding, Format, Size, Upload};

pub(super) use super::components::problems;
use super::{
    components::{
        Refuses, always, answer, binary, bytes, cached, html, id, if_none_match, in_path, json, link,
        operation, path, prefer, request_header, seconds, see_other, sometimes, text,
    },
    schemas::of,
};
use crate::{
    health::{Health, Limits, Readiness},
    live::protocol,
    problem::{Kind, help_page},
    uploads::{accept::Taken, idempotency::MAX_KEY_BYTES},
};

/// Why a file is not taken.
const NOT_TAKEN: [Kind; 16] = [
    Kind::Malformed,
    Kind::Empty,
    Kind::BadKey,
    Kind::CrossSite,
    Kind::TooSlow,
    Kind::KeyInUse,
    Kind::TooLarge,
    Kind::Unsupported,
    Kind::Damaged,
    Kind::TooManyPixels,
    Kind::KeyReused,
    Kind::TooManyAtOnce,
    Kind::Busy,
    Kind::Draining,
    Kind::Unavailable,
    Kind::DiskFull,
];

/// `/uploads`
pub(crate) fn uploads() -> PathItem {
    let mut item = sending("post_uploads", "put_uploads");
    item.description = Some("`/uploads/` is the same.".to_owned());
    item
}

/// `/uploads/`: what `curl -T file` asks for adds the name.
pub(crate) fn uploads_with_slash() -> PathItem {
    sending("post_uploads_with_slash", "put_uploads_with_slash")
}

fn sending(post_id: &str, put_id: &str) -> PathItem {
    let description = "The bytes decide what a file is, never its name or the declared type. A request with several \
        files answers for each; its status is that of a refusal only if every file is refused.";
    let post = taking(operation(post_id, "Send a picture, or several in a form", description))
        .request_body(Some(picture().content("multipart/form-data", form()).build()))
        .refuses(&[&NOT_TAKEN[..], &[Kind::NoFile, Kind::TooManyParts]].concat());
    let put = taking(operation(put_id, "Send a picture without a name", "")).request_body(Some(raw()));
    let mut item = PathItem::new(HttpMethod::Post, post);
    item.put = Some(put.refuses(&NOT_TAKEN).build());
    item
}

/// `/uploads/{id}`
pub(crate) fn upload() -> PathItem {
    let get = operation(
        "get_upload",
        "How an upload stands",
        "JSON for programs, a page that refreshes itself for browsers, the bare URL for shell scripts, by `Accept`.",
    )
    .parameter(id())
    .parameter(prefer())
    .response(
        "200",
        json::<Upload>("The upload as it stands now, or at its end if that was waited for.")
            .content("text/plain", text())
            .content("text/html", text())
            .header("Vary", always("`accept`"))
            .header("Cache-Control", always("`no-store`"))
            .header("Preference-Applied", sometimes("How long was waited for at most."))
            .header("Server-Timing", sometimes("Where the time went.")),
    )
    .refuses(&[Kind::UnknownUpload, Kind::Unavailable]);
    let name = in_path("id", "The file's name. Data only.", Object::with_type(Type::String));
    let put = taking(operation(
        "put_upload",
        "Send a picture by its name",
        "What `curl -T cat.jpg …/uploads/` does.",
    ))
    .parameter(name)
    .request_body(Some(raw()))
    .refuses(&NOT_TAKEN);
    let mut item = path(HttpMethod::Get, get);
    item.put = Some(put.build());
    item
}

/// `/uploads/{id}/{size}`
pub(crate) fn thumbnail() -> PathItem {
    let whole = cached("The thumbnail. It never changes.");
    let whole = [Encoding::Jpeg, Encoding::Png]
        .into_iter()
        .fold(whole, |answer, encoding| answer.content(encoding.content_type(), bytes()));
    let get = operation(
        "get_thumbnail",
        "A thumbnail",
        "404 with `Retry-After` until it is there: whoever polls needs nothing else.",
    )
    .parameter(id())
    .parameter(in_path("size", "Which of the three.", of::<Size>()))
    .parameter(if_none_match())
    .response("200", whole)
    .response("304", cached("The client has it."))
    .refuses(&[Kind::UnknownUpload, Kind::NotYet, Kind::NotFound, Kind::Failed, Kind::Unavailable]);
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
    let range = "One range of bytes; what is not understood is ignored.";
    let if_range = "The ETag of what the client has a part of: of anything else it is answered the whole.";
    let get = operation("get_original", "The bytes as received", "")
        .parameter(id())
        .parameter(request_header("Range", range, "bytes=0-99", ObjectBuilder::new()))
        .parameter(request_header("If-Range", if_range, "\"0199f3c2\"", ObjectBuilder::new()))
        .parameter(if_none_match())
        .response("200", file("All of it."))
        .response("206", file("A part of it.").header("Content-Range", always("Which bytes, of how many.")))
        .response("304", cached("The client has it."))
        .refuses(&[Kind::UnknownUpload, Kind::OutsideRange, Kind::Unavailable]);
    path(HttpMethod::Get, get)
}

/// `/uploads/{id}/events`
pub(crate) fn events() -> PathItem {
    let stream = "Messages as on the socket, the present state first: `event` is the message's `type`, `data` the \
        message. The stream ends with the upload.";
    let get =
        operation("get_events", "An upload's states as they change", "For `curl -N` and `EventSource`.")
            .parameter(id())
            .response(
                "200",
                answer(stream)
                    .content("text/event-stream", bytes())
                    .header("Cache-Control", always("`no-store`")),
            )
            .refuses(&[Kind::UnknownUpload, Kind::TooManyAtOnce, Kind::Busy, Kind::Unavailable]);
    path(HttpMethod::Get, get)
}

/// `/uploads/{id}/retry`
pub(crate) fn retry() -> PathItem {
    let post = operation("retry_upload", "Send a failed upload round once more", "")
        .parameter(id())
        .response(
            "202",
            json::<Upload>("It is queued again, with the next `gen`.")
                .header("Retry-After", seconds(true))
                .header("Cache-Control", always("`no-store`")),
        )
        .response("303", see_other())
        .refuses(&[
            Kind::CrossSite,
            Kind::UnknownUpload,
            Kind::NotFailed,
            Kind::Busy,
            Kind::Draining,
            Kind::Unavailable,
            Kind::DiskFull,
        ]);
    path(HttpMethod::Post, post)
}

/// `/limits`
pub(crate) fn limits() -> PathItem {
    let get =
        operation("get_limits", "What this server takes", "So that clients can say no before they send.");
    path(HttpMethod::Get, get.response("200", json::<Limits>("Its limits.")))
}

/// `/live`
pub(crate) fn live() -> PathItem {
    let protocol = ObjectBuilder::new().enum_values(Some([protocol::NAME]));
    let offer = "What the client speaks. Another offer is taken and then closed with 4506.";
    let get = operation(
        "live",
        "A WebSocket that tells about many uploads",
        "`/asyncapi.json` describes what is said on it.",
    )
    .parameter(request_header("Sec-WebSocket-Protocol", offer, protocol::NAME, protocol))
    .response(
        "101",
        answer("The socket is open.")
            .header("Upgrade", always("`websocket`"))
            .header("Connection", always("`upgrade`"))
            .header("Sec-WebSocket-Accept", always("By RFC 6455."))
            .header("Sec-WebSocket-Protocol", sometimes("What was offered.")),
    )
    .refuses(&[Kind::Malformed, Kind::CrossSite, Kind::UpgradeRequired, Kind::Draining]);
    path(HttpMethod::Get, get)
}

/// `/healthz`
pub(crate) fn healthz() -> PathItem {
    let get = operation("get_health", "Whether the process is alive", "");
    path(HttpMethod::Get, get.response("200", json::<Health>("It is.")))
}

/// `/readyz`
pub(crate) fn readyz() -> PathItem {
    let get = operation("get_readiness", "Whether uploads can be taken", "")
        .response("200", json::<Readiness>("They can, if need be without the broker for a while."))
        .refuses(&[Kind::Draining, Kind::NotReady]);
    path(HttpMethod::Get, get)
}

/// `/problems/{kind}`
pub(crate) fn problem() -> PathItem {
    let kinds = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(help_page::names()));
    let get =
        operation("get_problem", "What a kind of problem means", "Where the `type` of a problem leads.")
            .parameter(in_path("kind", "The last part of `type`.", kinds))
            .response("200", html("What is wrong and what to do, for people."))
            .refuses(&[Kind::NotFound]);
    path(HttpMethod::Get, get)
}

/// `/`
pub(crate) fn home() -> PathItem {
    let get = operation("home", "The page", "With its styles and modules beside it.")
        .parameter(if_none_match())
        .response("200", html("The page.").header("ETag", always("Of this version.")))
        .response("304", answer("The client has it."));
    path(HttpMethod::Get, get)
}

/// `/openapi.json`
pub(super) fn openapi() -> PathItem {
    description("get_openapi", "OpenAPI 3.1")
}

/// `/asyncapi.json`
pub(crate) fn asyncapi() -> PathItem {
    description("get_asyncapi", "AsyncAPI 3")
}

fn description(id: &str, format: &str) -> PathItem {
    let document = Content::new(Some(Object::with_type(Type::Object)));
    let get = operation(id, &format!("The interface, described in {format}"), "");
    let answer =
        answer(format).content("application/json", document).header("Cache-Control", always("An hour."));
    path(HttpMethod::Get, get.response("200", answer))
}

/// What all that take files have in common.
fn taking(operation: OperationBuilder) -> OperationBuilder {
    let bulk = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(["bulk"]));
    let lane = ParameterBuilder::new()
        .name("lane")
        .parameter_in(ParameterIn::Query)
        .required(Required::False)
        .description(Some("By a queue of its own, which keeps nobody else waiting."))
        .schema(Some(bulk))
        .build();
    let key = ObjectBuilder::new().pattern(Some("^[!-~]+$")).max_length(Some(MAX_KEY_BYTES));
    let key = request_header(
        "Idempotency-Key",
        "Makes the request safe to repeat for a day: the same key and file are the same upload.",
        "5f0c2d2e-77aa-4b1c-9d0e-0c6a5b1f2e3d",
        key,
    );
    operation
        .parameter(lane)
        .parameter(prefer())
        .parameter(key)
        .response(
            "201",
            taken("Every file was taken, and every upload has ended in the time that was waited."),
        )
        .response("202", taken("Taken; thumbnails follow.").header("Retry-After", seconds(true)))
        .response("303", see_other())
}

fn taken(description: &str) -> ResponseBuilder {
    let first = "$response.body#/uploads/0/id";
    let answer = json::<Taken>(description)
        .content("text/plain", text())
        .header("Location", always("The first upload."))
        .header("Cache-Control", always("`no-store`"))
        .header("Vary", always("`accept`"))
        .header("Preference-Applied", sometimes("How long was waited for at most."))
        .header("Server-Timing", sometimes("Where the time went."));
    ["get_upload", "get_thumbnail", "get_original", "get_events", "retry_upload"]
        .into_iter()
        .fold(answer, |answer, operation| answer.link(operation, link(operation, first)))
}

/// A picture without a form around it.
fn picture() -> RequestBodyBuilder {
    RequestBodyBuilder::new()
        .required(Some(Required::True))
        .content("image/*", Content::new(Some(binary())))
        .content("application/octet-stream", Content::new(Some(binary())))
}

fn raw() -> RequestBody {
    picture().build()
}

fn form() -> Content {
    let files = ArrayBuilder::new().items(binary()).min_items(Some(1)).build();
    Content::new(Some(ObjectBuilder::new().property("file", files).required("file")))
}
