//! Uploads from their first byte to their last thumbnail, as HTTP sees them.

pub(crate) mod accept;
pub(crate) mod body;
pub(crate) mod idempotency;
pub(crate) mod incoming;
pub(crate) mod name;
pub(crate) mod negotiate;
pub(crate) mod originals;
pub(crate) mod page;
pub(crate) mod parts;
pub(crate) mod ranges;
pub(crate) mod retry;
pub(crate) mod status;
pub(crate) mod thumbnails;

use axum::{
    extract::{FromRequestParts, Path},
    http::request::Parts,
};
use worker::UploadId;

use crate::problem::Problem;

/// The id in a path. What is no id is an unknown upload, so that nobody learns which texts are ids.
pub(crate) struct Id(pub(crate) UploadId);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path(parameters) =
            Path::<std::collections::HashMap<String, String>>::from_request_parts(parts, state)
                .await
                .map_err(|_| Problem::unknown_upload())?;
        let id = parameters.get("id").and_then(|id| id.parse().ok());
        id.map(Self).ok_or_else(Problem::unknown_upload)
    }
}
