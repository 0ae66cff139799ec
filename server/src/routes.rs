//! The route table.

use std::sync::Arc;

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request},
    http::StatusCode,
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use tokio::time::timeout;
use tower_http::catch_panic::CatchPanicLayer;

use crate::{
    app::App,
    config::STORAGE_WITHIN,
    cors,
    description::{Described, asyncapi, deleting, operations},
    error_page, frontend, health,
    live::{events, socket},
    problem::{Problem, help_page},
    request,
    uploads::{accept, body::drain_refused, delete, originals, retry, status, thumbnails},
};

/// All endpoints of clients.
pub(crate) fn router(app: Arc<App>) -> Router {
    let (cors_origins, page) = (app.config.cors_origins.clone(), frontend::router(&app.config));
    let in_time = middleware::from_fn(in_time);
    let router = Described::default()
        .route("/uploads", post(accept::post).put(accept::put), operations::uploads())
        .route("/uploads/", post(accept::post).put(accept::put), operations::uploads_with_slash())
        .route(
            "/uploads/{id}",
            get(status::status).layer(in_time.clone()).put(accept::put).delete(delete::delete),
            operations::upload(),
        )
        .route(
            "/uploads/{id}/{size}",
            get(thumbnails::thumbnail).layer(in_time.clone()),
            operations::thumbnail(),
        )
        .route(
            "/uploads/{id}/original",
            get(originals::original).layer(in_time.clone()),
            operations::original(),
        )
        .route("/uploads/{id}/events", get(events::events).layer(in_time), operations::events())
        .route("/uploads/{id}/retry", post(retry::retry), operations::retry())
        .route("/uploads/{id}/delete", post(delete::delete_form), deleting::delete_form())
        .route("/limits", get(health::limits), operations::limits())
        .route("/live", get(socket::live), operations::live())
        .route("/healthz", get(health::healthz), operations::healthz())
        .route("/readyz", get(health::readyz), operations::readyz())
        .route("/problems/{kind}", get(help_page::help_page), operations::problem())
        .route("/asyncapi.json", get(asyncapi::asyncapi), operations::asyncapi())
        .merge(page, "/", operations::home())
        .described_at("/openapi.json")
        .method_not_allowed_fallback(async || Problem::method_not_allowed())
        .fallback(async || Problem::not_found())
        // Each handler limits its body while it streams.
        .layer(DefaultBodyLimit::disable())
        .layer(CatchPanicLayer::custom(panicked))
        .layer(middleware::from_fn(drain_refused))
        .with_state(app);
    let router = if cors_origins.is_empty() { router } else { router.layer(cors::layer(&cors_origins)) };
    // Outside of all handlers, so that every answer has a request id, and the page of a problem can show it.
    router.layer(middleware::from_fn(request::identify)).layer(middleware::from_fn(error_page::for_browsers))
}

/// Answers within [`STORAGE_WITHIN`]: a handler may ask storage several times, each within that time. A body may take longer.
async fn in_time(request: Request, next: Next) -> Response {
    let answered = timeout(STORAGE_WITHIN, next.run(request)).await;
    answered.unwrap_or_else(|_| Problem::unavailable().into_response())
}

fn panicked(_what: Box<dyn std::any::Any + Send>) -> Response {
    let response = Problem::internal().into_response();
    debug_assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR, "a panic is answered with 500");
    response
}
