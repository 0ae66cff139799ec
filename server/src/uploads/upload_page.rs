//! The page of one upload. It works without script, and refreshes itself until the upload ends.

use askama::Template;
use axum::{
    http::HeaderMap,
    response::{Html, IntoResponse, Response},
};
use worker::{Format, Size, Sizes, State, Upload, fit};

use super::token_cookie;
use crate::{
    answer::absolute,
    app::App,
    frontend::{PAGE_HEADERS, human_size},
    problem::Problem,
};

/// The values of the template.
#[derive(Template)]
#[template(path = "upload.html")]
struct UploadPage {
    base: String,
    id: String,
    name: String,
    state: &'static str,
    generation: u32,
    width: u32,
    height: u32,
    shown: (u32, u32),
    facts: String,
    expires: Option<String>,
    reason: Option<String>,
    can_retry: bool,
    thumbnails: Vec<PageThumbnail>,
    large: PageThumbnail,
    sharper: Option<String>,
    absolute: String,
    absolute_large: String,
    original: String,
    token: Option<String>,
}

/// A thumbnail, with its final or its expected sides.
struct PageThumbnail {
    size: String,
    width: u32,
    height: u32,
    facts: String,
    url: String,
}

/// Renders the page.
pub(crate) fn render(app: &App, headers: &HeaderMap, upload: &Upload) -> Result<Response, Problem> {
    let large = large(upload, &app.config.pixels.sizes);
    let is_sharper = is_drawn(upload.format) && upload.width > large.width;
    let page = UploadPage {
        base: "../".to_owned(),
        id: upload.id.to_string(),
        name: upload.name.clone(),
        state: state_name(upload.state),
        generation: upload.generation,
        width: upload.width,
        height: upload.height,
        shown: if is_sharper { (upload.width, upload.height) } else { (large.width, large.height) },
        facts: facts(upload.width, upload.height, upload.bytes),
        expires: upload.expires_at.map(|at| at.strftime("%-d %B %Y, %H:%M UTC").to_string()),
        can_retry: upload.error.as_ref().is_some_and(|error| !error.is_final()),
        reason: upload.error.as_ref().map(|error| error.title.clone()),
        thumbnails: thumbnails(upload),
        absolute: absolute(&app.links, headers, &upload.links.this),
        absolute_large: absolute(&app.links, headers, &large.url),
        large,
        sharper: is_sharper.then(|| upload.links.original.clone()),
        original: upload.links.original.clone(),
        token: token_cookie::of(headers),
    };
    let html = page.render().map_err(|error| {
        tracing::error!(%error, "could not render the page of an upload");
        Problem::internal()
    })?;
    Ok((PAGE_HEADERS, Html(html)).into_response())
}

/// Whether browsers draw originals of this format.
const fn is_drawn(format: Format) -> bool {
    !matches!(format, Format::Tiff | Format::Heic)
}

const fn state_name(state: State) -> &'static str {
    match state {
        State::Queued => "queued",
        State::Processing => "processing",
        State::Failed => "failed",
        State::Ready => "ready",
        State::Gone => "gone",
    }
}

/// The thumbnails, smallest first; none until they are ready.
fn thumbnails(upload: &Upload) -> Vec<PageThumbnail> {
    let ready = upload.thumbnails.iter().map(|thumbnail| PageThumbnail {
        size: thumbnail.size.to_string(),
        width: thumbnail.width,
        height: thumbnail.height,
        facts: facts(thumbnail.width, thumbnail.height, thumbnail.bytes),
        url: thumbnail.url.clone(),
    });
    ready.collect()
}

/// The large thumbnail. Until it is ready, its expected sides, so that the page reserves its space.
fn large(upload: &Upload, sizes: &Sizes) -> PageThumbnail {
    thumbnails(upload).pop().unwrap_or_else(|| {
        let (width, height) = fit((upload.width, upload.height), sizes.longest_side(Size::Large));
        let url = format!("{}/{}", upload.links.this, Size::Large);
        PageThumbnail { size: Size::Large.to_string(), width, height, facts: String::new(), url }
    })
}

fn facts(width: u32, height: u32, bytes: u64) -> String {
    format!("{width} × {height}, {}", human_size(bytes))
}
