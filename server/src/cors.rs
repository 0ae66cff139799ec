//! CORS: pages of other sites may read answers only if `--cors-origins` names them.

use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, Method, header};
use tower_http::cors::CorsLayer;
use url::Origin;

use crate::request::{REQUEST_ID, SERVER_TIMING, TRACEPARENT};

/// How long a browser may cache a preflight answer: Chromium caches it for two hours at most.
const PREFLIGHT_CACHED_FOR: Duration = Duration::from_secs(2 * 60 * 60);

/// Allows pages of these origins to send and read. Credentials of the browser stay
/// forbidden, because the server uses none.
pub(crate) fn layer(origins: &[Origin]) -> CorsLayer {
    let origins =
        origins.iter().filter_map(|origin| HeaderValue::from_str(&origin.ascii_serialization()).ok());
    let (prefer, applied) =
        (HeaderName::from_static("prefer"), HeaderName::from_static("preference-applied"));
    let key = HeaderName::from_static("idempotency-key");
    CorsLayer::new()
        .allow_origin(origins.collect::<Vec<_>>())
        .allow_methods([Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::DELETE])
        .allow_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            header::RANGE,
            prefer,
            key,
            REQUEST_ID.clone(),
            TRACEPARENT.clone(),
        ])
        .expose_headers([
            header::LOCATION,
            header::RETRY_AFTER,
            header::ETAG,
            header::CONTENT_RANGE,
            header::CONTENT_DISPOSITION,
            applied,
            REQUEST_ID.clone(),
            SERVER_TIMING.clone(),
        ])
        .max_age(PREFLIGHT_CACHED_FOR)
}
