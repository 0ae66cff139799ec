//! The delete token of a browser without script: a cookie that only the page of its upload gets.
//!
//! The answer to a form without script is a redirect, which has no place for a token. Pages with script keep tokens by
//! themselves and never need the cookie.

use axum::http::{HeaderMap, HeaderValue};
use headers::{Cookie, HeaderMapExt};
use url::Url;

use crate::app::App;

/// The name of the cookie.
const NAME: &str = "up-delete";

/// How long a browser keeps it, in seconds: 30 days.
const MAX_AGE: u32 = 30 * 24 * 60 * 60;

/// The cookie with a token, for the page at `location`, a path or a URL.
pub(super) fn set(app: &App, location: &str, token: &str) -> HeaderValue {
    let path = Url::parse(location).map_or_else(|_| location.to_owned(), |url| url.path().to_owned());
    let secure = if app.config.public_url.as_ref().is_some_and(|url| url.scheme() == "https") {
        "; Secure"
    } else {
        ""
    };
    let cookie = format!("{NAME}={token}; Path={path}; Max-Age={MAX_AGE}; HttpOnly; SameSite=Strict{secure}");
    HeaderValue::try_from(cookie).expect("a token and a path are visible ASCII")
}

/// The token of the cookie, if the browser sent it and it looks like one.
pub(super) fn of(headers: &HeaderMap) -> Option<String> {
    let cookies = headers.typed_get::<Cookie>()?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    cookies.get(NAME).filter(|token| !token.is_empty() && token.bytes().all(is_plain)).map(str::to_owned)
}
