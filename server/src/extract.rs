//! Extractors of handlers: the id in the path, and the client.

use std::{collections::HashMap, sync::Arc};

use axum::{
    extract::{FromRequestParts, Path},
    http::request::Parts,
};
use worker::UploadId;

use crate::{
    app::App,
    client::{Client, Peer},
    problem::Problem,
};

/// The id in a path. A text that is not an id is answered like an unknown upload.
pub(crate) struct Id(pub(crate) UploadId);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let parameters = Path::<HashMap<String, String>>::from_request_parts(parts, state).await;
        let Path(parameters) = parameters.map_err(|_| Problem::unknown_upload())?;
        let id = parameters.get("id").and_then(|id| id.parse().ok());
        id.map(Self).ok_or_else(Problem::unknown_upload)
    }
}

/// The client of a request; only trusted proxies may name another.
impl FromRequestParts<Arc<App>> for Client {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let peer = parts.extensions.get::<Peer>().copied().ok_or_else(Problem::internal)?;
        Ok(Self::of(peer, &parts.headers, &app.config.trusted_proxies))
    }
}
