//! OpenAPI and AsyncAPI descriptions of the API. They are made from the route table, the serialized types and the list
//! of problems. Tests compare them with the answers of a real server.

pub(crate) mod asyncapi;
mod components;
pub(crate) mod deleting;
mod openapi;
pub(crate) mod operations;
mod reading;
mod schemas;

use axum::{
    http::{HeaderName, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use serde_json::Value;

pub(crate) use self::openapi::Described;

/// `Cache-Control` of a description: it changes only with the server's version.
const CACHED: &str = "public, max-age=3600";

/// A description, serialized once.
#[derive(Clone)]
pub(crate) struct Document(Bytes);

impl Document {
    fn new(value: &Value) -> Self {
        Self(format!("{value}\n").into())
    }
}

impl IntoResponse for Document {
    fn into_response(self) -> Response {
        let headers: [(HeaderName, &str); 3] = [
            (header::CONTENT_TYPE, "application/json"),
            (header::CACHE_CONTROL, CACHED),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        ];
        (headers, self.0).into_response()
    }
}
