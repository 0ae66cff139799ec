//! The operations of each path, in the order of the route table. They are not beside their handlers, because they share
//! building blocks. The route table names handler and operation in one line, so neither can be forgotten.

use utoipa::openapi::{
    Content, HttpMethod, PathItem, Required, ResponseBuilder, Type,
    path::{OperationBuilder, ParameterBuilder, ParameterIn},
    request_body::{RequestBody, RequestBodyBuilder},
    schema::{ArrayBuilder, Object, ObjectBuilder},
};
use worker::Upload;

pub(super) use super::components::problems;
pub(crate) use super::reading::{original, thumbnail};
use super::{
    components::{
        WithProblems, always, answer, binary, bytes, html, id, if_none_match, in_path, json, link, operation,
        path, prefer, request_header, seconds, see_other, sometimes, text,
    },
    deleting,
};
use crate::{
    health::{Health, Limits, Readiness},
    live::protocol,
    problem::{Kind, help_page},
    uploads::{idempotency::MAX_KEY_BYTES, reply::UploadResults},
};

/// The problems of every request that sends files.
const UPLOAD_PROBLEMS: [Kind; 26] = [
    Kind::Malformed,
    Kind::Empty,
    Kind::BadKey,
    Kind::KeyNeeded,
    Kind::WrongKey,
    Kind::TicketLate,
    Kind::TicketUsedUp,
    Kind::CrossSite,
    Kind::TooSlow,
    Kind::KeyInUse,
    Kind::Gone,
    Kind::TooLarge,
    Kind::Unsupported,
    Kind::UnsupportedPicture,
    Kind::Damaged,
    Kind::TooManyPixels,
    Kind::KeyReused,
    Kind::TooManyAtOnce,
    Kind::TooManyUnended,
    Kind::TooManyWrongKeys,
    Kind::DayUsedUp,
    Kind::RoomUsedUp,
    Kind::Busy,
    Kind::Draining,
    Kind::Unavailable,
    Kind::DiskFull,
];

/// `/uploads`
pub(crate) fn uploads() -> PathItem {
    let mut item = upload_methods("post_uploads", "put_uploads");
    item.description = Some("`/uploads/` is the same.".to_owned());
    item
}

/// `/uploads/`: `curl -T file` appends the file's name to it.
pub(crate) fn uploads_with_slash() -> PathItem {
    upload_methods("post_uploads_with_slash", "put_uploads_with_slash")
}

fn upload_methods(post_id: &str, put_id: &str) -> PathItem {
    let description = "The bytes decide what a file is, never its name or the declared type. A request with several \
        files answers for each. Its status is that of an error only if every file is refused.";
    let post = with_upload_parts(operation(post_id, "Send a picture, or several in a form", description))
        .request_body(Some(picture().content("multipart/form-data", form()).build()))
        .with_problems(&[&UPLOAD_PROBLEMS[..], &[Kind::NoFile, Kind::TooManyParts]].concat());
    let put =
        with_upload_parts(operation(put_id, "Send a picture without a name", "")).request_body(Some(raw()));
    let mut item = PathItem::new(HttpMethod::Post, post);
    item.put = Some(put.with_problems(&UPLOAD_PROBLEMS).build());
    item
}

/// `/uploads/{id}`
pub(crate) fn upload() -> PathItem {
    let get = operation(
        "get_upload",
        "The state of an upload",
        "`Accept` selects JSON for programs, a self-refreshing page for browsers, or the bare URL for shell scripts.",
    )
    .parameter(id())
    .parameter(prefer())
    .response(
        "200",
        json::<Upload>("The current state of the upload; with `Prefer: wait`, its state at the end of the wait.")
            .content("text/plain", text())
            .content("text/html", text())
            .header("Vary", always("`accept`"))
            .header("Cache-Control", always("`no-store`"))
            .header("Preference-Applied", sometimes("The maximum wait that was applied."))
            .header("Server-Timing", sometimes("Durations of the steps of this request.")),
    )
    .with_problems(&[Kind::UnknownUpload, Kind::Gone, Kind::SlowDown, Kind::Unavailable])
    .response("410", deleting::gone_or_page());
    let name = in_path(
        "id",
        "The file's name. It is stored and shown, and never used as a path.",
        Object::with_type(Type::String),
    );
    let put = with_upload_parts(operation(
        "put_upload",
        "Send a picture by its name",
        "The request of `curl -T cat.jpg …/uploads/`.",
    ))
    .parameter(name)
    .request_body(Some(raw()))
    .with_problems(&UPLOAD_PROBLEMS);
    let mut item = path(HttpMethod::Get, get);
    item.put = Some(put.build());
    item.delete = Some(deleting::delete().build());
    item
}

/// `/uploads/{id}/events`
pub(crate) fn events() -> PathItem {
    let stream = "The messages of the socket, the current state first: `event` is the message's `type`, `data` the \
        message. The stream ends when the upload ends.";
    let get =
        operation("get_events", "The states of an upload as they change", "For `curl -N` and `EventSource`.")
            .parameter(id())
            .response(
                "200",
                answer(stream)
                    .content("text/event-stream", bytes())
                    .header("Cache-Control", always("`no-store`"))
                    .header("X-Accel-Buffering", always("`no`, for nginx.")),
            )
            .response(
                "204",
                answer("The upload has ended, and `Last-Event-ID` names that event. Do not reconnect."),
            )
            .with_problems(&[
                Kind::UnknownUpload,
                Kind::Gone,
                Kind::SlowDown,
                Kind::TooManyAtOnce,
                Kind::Busy,
                Kind::Unavailable,
            ]);
    path(HttpMethod::Get, get)
}

/// `/uploads/{id}/retry`
pub(crate) fn retry() -> PathItem {
    let post = operation("retry_upload", "Requeue a failed upload", "")
        .parameter(id())
        .response(
            "202",
            json::<Upload>("The upload is requeued, with the next `gen`.")
                .header("Retry-After", seconds(true))
                .header("Cache-Control", always("`no-store`")),
        )
        .response("303", see_other())
        .with_problems(&[
            Kind::CrossSite,
            Kind::UnknownUpload,
            Kind::Gone,
            Kind::NotFailed,
            Kind::TooManyUnended,
            Kind::Busy,
            Kind::Draining,
            Kind::Unavailable,
            Kind::DiskFull,
        ]);
    path(HttpMethod::Post, post)
}

/// `/limits`
pub(crate) fn limits() -> PathItem {
    let get = operation(
        "get_limits",
        "The limits of this server",
        "Clients can refuse a file before they send it.",
    );
    path(HttpMethod::Get, get.response("200", json::<Limits>("The limits.")))
}

/// `/live`
pub(crate) fn live() -> PathItem {
    let protocol = ObjectBuilder::new().enum_values(Some([protocol::NAME]));
    let offer = "The sub-protocol of the client. A socket with another one is opened and closed with 4506.";
    let get = operation(
        "live",
        "A WebSocket that delivers the states of many uploads",
        "`/asyncapi.json` describes its messages.",
    )
    .parameter(request_header("Sec-WebSocket-Protocol", offer, protocol::NAME, protocol))
    .response(
        "101",
        answer("The socket is open.")
            .header("Upgrade", always("`websocket`"))
            .header("Connection", always("`upgrade`"))
            .header("Sec-WebSocket-Accept", always("See RFC 6455."))
            .header("Sec-WebSocket-Protocol", sometimes("The sub-protocol that the client offered.")),
    )
    .with_problems(&[Kind::Malformed, Kind::CrossSite, Kind::UpgradeRequired, Kind::Draining]);
    path(HttpMethod::Get, get)
}

/// `/healthz`
pub(crate) fn healthz() -> PathItem {
    let get = operation("get_health", "Whether the process is alive", "");
    path(HttpMethod::Get, get.response("200", json::<Health>("The process is alive.")))
}

/// `/readyz`
pub(crate) fn readyz() -> PathItem {
    let get = operation("get_readiness", "Whether the server can accept uploads", "")
        .response(
            "200",
            json::<Readiness>("The server can accept uploads. The broker may be unavailable for a while."),
        )
        .with_problems(&[Kind::Draining, Kind::NotReady]);
    path(HttpMethod::Get, get)
}

/// `/problems/{kind}`
pub(crate) fn problem() -> PathItem {
    let kinds = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(help_page::names()));
    let get =
        operation("get_problem", "The meaning of a kind of problem", "The page at the `type` of a problem.")
            .parameter(in_path("kind", "The last part of `type`.", kinds))
            .response("200", html("The error and the next step, for people."))
            .with_problems(&[Kind::NotFound]);
    path(HttpMethod::Get, get)
}

/// `/`
pub(crate) fn home() -> PathItem {
    let get = operation("home", "The page", "Its styles and modules are served beside it.")
        .parameter(if_none_match())
        .response("200", html("The page.").header("ETag", always("The ETag of this version.")))
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
    let answer = answer(format)
        .content("application/json", document)
        .header("Cache-Control", always("Cached for an hour."));
    path(HttpMethod::Get, get.response("200", answer))
}

/// Adds the parameters and answers of every operation that accepts files.
fn with_upload_parts(operation: OperationBuilder) -> OperationBuilder {
    let bulk = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(["bulk"]));
    let lane = ParameterBuilder::new()
        .name("lane")
        .parameter_in(ParameterIn::Query)
        .required(Required::False)
        .description(Some("`bulk` uses a separate queue, so that other uploads do not wait."))
        .schema(Some(bulk))
        .build();
    let seconds_kept = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1));
    let expires = ParameterBuilder::new()
        .name("expires")
        .parameter_in(ParameterIn::Query)
        .required(Required::False)
        .description(Some(
            "Seconds after which the uploads are deleted; at most `keep_seconds` of `/limits`.",
        ))
        .schema(Some(seconds_kept))
        .build();
    let key = ObjectBuilder::new().pattern(Some("^[!-~]+$")).max_length(Some(MAX_KEY_BYTES));
    let key = request_header(
        "Idempotency-Key",
        "Makes the request idempotent for a day: the same key and file give the same upload.",
        "5f0c2d2e-77aa-4b1c-9d0e-0c6a5b1f2e3d",
        key,
    );
    operation
        .parameter(lane)
        .parameter(expires)
        .parameter(prefer())
        .parameter(key)
        .response("201", accepted("Every upload ended within the time of `Prefer: wait`."))
        .response("202", accepted("Accepted; thumbnails follow.").header("Retry-After", seconds(true)))
        .response("303", see_other())
}

fn accepted(description: &str) -> ResponseBuilder {
    let first = "$response.body#/uploads/0/id";
    let answer = json::<UploadResults>(description)
        .content("text/plain", text())
        .content("text/html", text())
        .header("Location", always("The first upload."))
        .header("Cache-Control", always("`no-store`"))
        .header("Vary", always("`accept`"))
        .header("Preference-Applied", sometimes("The maximum wait that was applied."))
        .header("Server-Timing", sometimes("Durations of the steps of this request."));
    ["get_upload", "get_thumbnail", "get_original", "get_events", "retry_upload", "delete_upload"]
        .into_iter()
        .fold(answer, |answer, operation| answer.link(operation, link(operation, first)))
}

/// A picture that is sent without a form.
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
    let expires = "Seconds after which the files are deleted. It comes before the files.";
    let expires = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1)).description(Some(expires));
    let form = ObjectBuilder::new().property("expires", expires).property("file", files);
    Content::new(Some(form.required("file")))
}
