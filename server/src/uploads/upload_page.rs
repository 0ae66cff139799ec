//! The page of one upload. It works without script, and refreshes itself until the upload ends.

use askama::Template;
use axum::{
    http::HeaderMap,
    response::{Html, IntoResponse, Response},
};
use worker::{Size, Sizes, State, Upload, fit};

use crate::{answer::absolute, app::App, frontend::PAGE_HEADERS, problem::Problem};

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
    facts: String,
    took: Option<String>,
    expires: Option<String>,
    reason: Option<String>,
    thumbnails: Vec<PageThumbnail>,
    shape: String,
    absolute: String,
    absolute_large: Option<String>,
    original: String,
}

/// One of the three thumbnails, with its final or its expected dimensions.
struct PageThumbnail {
    size: String,
    width: u32,
    height: u32,
    facts: String,
    url: String,
}

/// Renders the page.
pub(crate) fn render(app: &App, headers: &HeaderMap, upload: &Upload) -> Result<Response, Problem> {
    let page = UploadPage {
        base: "../".to_owned(),
        id: upload.id.to_string(),
        name: upload.name.clone(),
        state: state_name(upload.state),
        generation: upload.generation,
        width: upload.width,
        height: upload.height,
        facts: format!("{} × {}, {}", upload.width, upload.height, human_size(upload.bytes)),
        took: took(upload),
        expires: upload.expires_at.map(|at| at.strftime("%-d %B %Y, %H:%M UTC").to_string()),
        reason: upload.error.as_ref().map(|error| error.title.clone()),
        thumbnails: thumbnails(upload, &app.config.pixels.sizes),
        shape: if upload.height > upload.width { "tall" } else { "wide" }.to_owned(),
        absolute: absolute(&app.links, headers, &upload.links.this),
        absolute_large: upload.thumbnails.last().map(|large| absolute(&app.links, headers, &large.url)),
        original: upload.links.original.clone(),
    };
    let html = page.render().map_err(|error| {
        tracing::error!(%error, "could not render the page of an upload");
        Problem::internal()
    })?;
    Ok((PAGE_HEADERS, Html(html)).into_response())
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

fn thumbnails(upload: &Upload, sizes: &Sizes) -> Vec<PageThumbnail> {
    if upload.thumbnails.is_empty() {
        return Size::ALL.into_iter().map(|size| expected(upload, size, sizes.longest_side(size))).collect();
    }
    let ready = upload.thumbnails.iter().map(|thumbnail| PageThumbnail {
        size: thumbnail.size.to_string(),
        width: thumbnail.width,
        height: thumbnail.height,
        facts: format!("{} × {}, {}", thumbnail.width, thumbnail.height, human_size(thumbnail.bytes)),
        url: thumbnail.url.clone(),
    });
    ready.collect()
}

/// A thumbnail that is not ready yet, so that the page reserves its space.
fn expected(upload: &Upload, size: Size, longest: u32) -> PageThumbnail {
    let (width, height) = fit((upload.width, upload.height), longest);
    let facts = format!("{width} × {height}");
    PageThumbnail { size: size.to_string(), width, height, facts, url: String::new() }
}

fn took(upload: &Upload) -> Option<String> {
    let took = upload.ended_at?.duration_since(upload.created_at);
    Some(format!("{:.1} s", took.as_secs_f64().max(0.1)))
}

/// A size for people: decimal units, with one decimal below 10 MB.
fn human_size(bytes: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "a rounded size is shown")]
    let scaled = |unit: u64| bytes as f64 / unit as f64;
    match bytes {
        0..1_000 => format!("{bytes} bytes"),
        1_000..999_500 => format!("{:.0} KB", scaled(1_000)),
        999_500..9_950_000 => format!("{:.1} MB", scaled(1_000_000)),
        _ => format!("{:.0} MB", scaled(1_000_000)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_shown_in_decimal_units() {
        for (bytes, text) in [
            (0, "0 bytes"),
            (999, "999 bytes"),
            (5_120, "5 KB"),
            (2_417_733, "2.4 MB"),
            (84_000_000, "84 MB"),
        ] {
            assert_eq!(human_size(bytes), text);
        }
    }
}
