//! The page: static files, embedded into the executable.

use axum::{
    Router,
    http::{HeaderName, HeaderValue, header},
};
use memory_serve::CacheControl;
use tower_http::set_header::SetResponseHeaderLayer;

/// The Content-Security-Policy of a page: it may load its own styles and modules, show pictures and connect to its own
/// server.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     img-src 'self' blob: data:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// The security headers of every page.
pub(crate) const PAGE_HEADERS: [(HeaderName, &str); 3] = [
    (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "same-origin"),
];

/// Serves `frontend/assets` with ETag and compression. Every cached file is revalidated, so versions never mix.
pub(crate) fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    let assets = memory_serve::load!()
        .index_file(Some("/index.html"))
        .html_cache_control(CacheControl::NoCache)
        .cache_control(CacheControl::NoCache)
        .into_router();
    PAGE_HEADERS.into_iter().fold(assets, |router, (name, value)| {
        router.layer(SetResponseHeaderLayer::overriding(name, HeaderValue::from_static(value)))
    })
}
