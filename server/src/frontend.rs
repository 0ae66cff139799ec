//! The page: static files, embedded into the executable.

use axum::{
    Router,
    extract::Request,
    http::{HeaderName, HeaderValue, header},
    middleware::{self, Next},
    response::{Html, IntoResponse, Response},
};
use memory_serve::CacheControl;
use tower_http::set_header::SetResponseHeaderLayer;
use worker::Format;

use crate::config::{Config, MAX_UPLOAD_BYTES};

/// Bytes of a mebibyte.
const MEBIBYTE: u64 = 1024 * 1024;

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

/// The start page as it is in the repository: with every format and the default limit.
const START_PAGE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../frontend/assets/index.html"));

/// Serves `frontend/assets` with ETag and compression. Every cached file is revalidated, so versions never mix. The start
/// page names what this server accepts, for browsers without script.
pub(crate) fn router<S: Clone + Send + Sync + 'static>(config: &Config) -> Router<S> {
    let assets = memory_serve::load!()
        .index_file(Some("/index.html"))
        .html_cache_control(CacheControl::NoCache)
        .cache_control(CacheControl::NoCache)
        .into_router();
    let page = start_page(&config.accepted(), config.max_upload_bytes);
    let assets = match page == START_PAGE {
        true => assets,
        false => assets
            .layer(middleware::from_fn(move |request, next| with_start_page(page.clone(), request, next))),
    };
    PAGE_HEADERS.into_iter().fold(assets, |router, (name, value)| {
        router.layer(SetResponseHeaderLayer::overriding(name, HeaderValue::from_static(value)))
    })
}

/// Answers the start page with `page` in place of the file.
async fn with_start_page(page: String, request: Request, next: Next) -> Response {
    match request.uri().path() {
        "/" | "/index.html" => ([(header::CACHE_CONTROL, "no-cache")], Html(page)).into_response(),
        _ => next.run(request).await,
    }
}

/// The start page of a server that accepts these formats, and originals of this many bytes.
fn start_page(formats: &[Format], max_bytes: u64) -> String {
    let all = Format::ALL.as_slice();
    [
        (format!("accept=\"{}\"", media_types(all)), format!("accept=\"{}\"", media_types(formats))),
        (names(all), names(formats)),
        (limit(MAX_UPLOAD_BYTES), limit(max_bytes)),
    ]
    .iter()
    .fold(START_PAGE.to_owned(), |page, (ours, wanted)| page.replacen(ours, wanted, 1))
}

/// What the dialog for files offers. HEIC is named by its endings too, because not every system knows its type.
fn media_types(formats: &[Format]) -> String {
    let types = formats.iter().map(|format| match format {
        Format::Heic => "image/heic,image/heif,.heic,.heif",
        format => format.content_type(),
    });
    types.collect::<Vec<_>>().join(",")
}

/// Formats as text for people: "JPEG, PNG or HEIC".
fn names(formats: &[Format]) -> String {
    let names: Vec<String> = formats.iter().map(Format::to_string).collect();
    match names.as_slice() {
        [first @ .., last] if !first.is_empty() => format!("{} or {last}", first.join(", ")),
        names => names.concat(),
    }
}

/// The limit as text for people. A whole number of mebibytes is called megabytes, as the page does.
fn limit(bytes: u64) -> String {
    let size = match bytes % MEBIBYTE {
        0 => format!("{} MB", bytes / MEBIBYTE),
        _ => human_size(bytes),
    };
    format!("up to {}", size.replace(' ', "&nbsp;"))
}

/// A size for people: decimal units, with one decimal below 10 MB.
pub(crate) fn human_size(bytes: u64) -> String {
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
    fn the_start_page_names_what_the_server_accepts() {
        assert_eq!(start_page(&Format::ALL, MAX_UPLOAD_BYTES), START_PAGE);
        let page = start_page(&[Format::Jpeg, Format::Png, Format::WebP], 2_500_000);
        assert!(page.contains(r#"accept="image/jpeg,image/png,image/webp" multiple"#));
        assert!(page.contains(">JPEG, PNG or WebP, up to 2.5&nbsp;MB each.<"));
        let page = start_page(&[Format::Heic], 3 * MEBIBYTE);
        assert!(page.contains(r#"accept="image/heic,image/heif,.heic,.heif" multiple"#));
        assert!(page.contains(">HEIC, up to 3&nbsp;MB each.<"));
    }

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
