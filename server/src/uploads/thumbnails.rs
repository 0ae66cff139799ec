//! `GET /uploads/{id}/small`, `/medium`, `/large`: 404 until the thumbnail is ready; then it never changes. A client that
//! names `image/webp` in `Accept` gets WebP, if there is one. `/small.webp`, `/small.jpg` and `/small.png` serve one
//! encoding alone.

use std::sync::Arc;

use axum::{
    extract::{Path, State, rejection::PathRejection},
    http::{HeaderMap, StatusCode, header},
    response::{AppendHeaders, IntoResponse, Response},
};
use worker::{Encoding, Size, UploadResult, storage::StorageError};

use super::representation::quality_of;
use crate::{
    answer::{IMMUTABLE, client_has, safe_headers},
    app::{App, Found},
    client::Client,
    extract::Id,
    problem::Problem,
};

/// Answers one thumbnail.
pub(crate) async fn thumbnail(
    State(app): State<Arc<App>>,
    path: Result<Path<(String, String)>, PathRejection>,
    Id(id): Id,
    client: Client,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Path((_, size)) = path.map_err(|_| Problem::not_found())?;
    let (size, asked) = parse(&size).ok_or_else(Problem::not_found)?;
    match app.find_for(client, id).await? {
        Found::Ready(result) => match serve(&app, &result, size, asked, &headers).await? {
            Some(response) => Ok(response),
            None => Err(app.missing_file(id, "a thumbnail").await),
        },
        Found::Pending(_) => Err(Problem::not_yet()),
        Found::Failed(failure) => Err(Problem::failed(&failure.problem)),
        missing @ (Found::Gone(_) | Found::Unknown) => Err(missing.problem()),
    }
}

/// Reads the last part of a path: a size, and the extension of an encoding if it names one.
fn parse(name: &str) -> Option<(Size, Option<Encoding>)> {
    match name.split_once('.') {
        Some((size, extension)) => Some((size.parse().ok()?, Some(Encoding::of_extension(extension)?))),
        None => Some((name.parse().ok()?, None)),
    }
}

/// The thumbnail; `None` if its file is not in storage.
async fn serve(
    app: &App,
    result: &UploadResult,
    size: Size,
    asked: Option<Encoding>,
    headers: &HeaderMap,
) -> Result<Option<Response>, Problem> {
    let fact = result.thumbnail(size).ok_or_else(Problem::not_found)?;
    let preferred = if names_webp(headers) { Encoding::WebP } else { fact.content_type };
    let encoding = match asked {
        Some(encoding) => encoding,
        None if fact.etag_in(preferred).is_some() => preferred,
        None => fact.content_type,
    };
    let etag = format!("\"{}\"", fact.etag_in(encoding).ok_or_else(Problem::not_found)?);
    let vary = asked.is_none().then_some((header::VARY, "accept"));
    let head = [(header::ETAG, etag.as_str()), (header::CACHE_CONTROL, IMMUTABLE)];
    let head = (AppendHeaders(vary), head);
    if client_has(headers, &etag) {
        return Ok(Some((StatusCode::NOT_MODIFIED, head).into_response()));
    }
    let bytes = match app.storage.thumbnail(result.record.id, result.making, size, encoding).await {
        Err(StorageError::NotFound(_)) => return Ok(None),
        read => read?,
    };
    let media_type = [(header::CONTENT_TYPE, encoding.content_type())];
    Ok(Some((head, safe_headers(app.config.embed_thumbnails), media_type, bytes).into_response()))
}

/// Whether `Accept` names `image/webp` itself, and does not refuse it. `*/*` is what clients send that name nothing.
fn names_webp(headers: &HeaderMap) -> bool {
    quality_of(headers, |media_type| (media_type == "image/webp").then_some(())).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn webp_is_for_clients_that_name_it() {
        for (accept, expected) in [
            ("image/webp", true),
            ("image/avif,image/webp,image/apng,*/*;q=0.8", true),
            ("text/html, IMAGE/WEBP;q=0.1", true),
            ("image/webp; Q=0.5", true),
            ("image/webp;q=0", false),
            ("image/webp;q=0.0, image/*", false),
            ("image/webp;q=x", false),
            ("*/*", false),
            ("image/*", false),
            ("", false),
        ] {
            let headers = HeaderMap::from_iter([(header::ACCEPT, accept.parse().unwrap())]);
            assert_eq!(names_webp(&headers), expected, "{accept}");
        }
        assert!(!names_webp(&HeaderMap::new()));
    }

    #[test]
    fn the_extension_names_an_encoding() {
        assert_eq!(parse("small"), Some((Size::Small, None)));
        assert_eq!(parse("large.webp"), Some((Size::Large, Some(Encoding::WebP))));
        assert_eq!(parse("medium.jpg"), Some((Size::Medium, Some(Encoding::Jpeg))));
        for name in ["", "tiny", "small.", "small.gif", "small.webp.webp", ".webp", "Small"] {
            assert_eq!(parse(name), None, "{name}");
        }
    }
}
