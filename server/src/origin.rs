//! The origin check: pages of this server and of the configured origins may use it.

use std::{net::IpAddr, sync::Once};

use axum::http::{HeaderMap, header};
use tracing::warn;
use url::Url;

use crate::config::Config;

/// Set by browsers: the relation between this server and the page that sends the request.
const SEC_FETCH_SITE: &str = "sec-fetch-site";

/// Whether the `Origin` of a request is allowed. A request without one is allowed: it comes from no page.
pub(crate) fn is_allowed(headers: &HeaderMap, config: &Config) -> bool {
    let is_allowed = is_listed(headers, config);
    if !is_allowed && hides_the_host(headers) {
        // Once: each page of every visitor is refused.
        PROXY_WARNING.call_once(|| {
            let shown = |name| headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()));
            let (origin, host) = (shown(header::ORIGIN), shown(header::HOST));
            warn!(
                origin = origin.as_deref(),
                host = host.as_deref(),
                "refused a page whose Origin differs from Host; if a proxy rewrites Host, set --public-url"
            );
        });
    }
    is_allowed
}

static PROXY_WARNING: Once = Once::new();

/// Whether the request came through a proxy that may have rewritten `Host`: the browser says that the page is of this
/// server, or a proxy has left its mark.
fn hides_the_host(headers: &HeaderMap) -> bool {
    headers.get(SEC_FETCH_SITE).is_some_and(|site| site == "same-origin")
        || ["x-forwarded-for", "x-forwarded-host", "forwarded", "via"]
            .iter()
            .any(|name| headers.contains_key(*name))
}

fn is_listed(headers: &HeaderMap, config: &Config) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else {
        return true;
    };
    // A page with `Referrer-Policy: no-referrer` sends `Origin: null` with a form. No page can forge `Sec-Fetch-Site`.
    if origin == "null" && headers.get(SEC_FETCH_SITE).is_some_and(|site| site == "same-origin") {
        return true;
    }
    let Some(origin) = origin.to_str().ok().and_then(|text| Url::parse(text).ok()) else {
        return false;
    };
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let own = host.filter(|host| is_own_name(host, config)).is_some_and(|host| {
        authority(&origin).is_some_and(|it| it.eq_ignore_ascii_case(strip_port(&origin, host)))
    });
    let origin = origin.origin();
    own || config.public_url.as_ref().is_some_and(|public| public.origin() == origin)
        || config.allowed_origins.contains(&origin)
        || config.cors_origins.contains(&origin)
}

/// Whether the name in a `Host` header is one of `--hosts`, or of their default.
fn is_own_name(host: &str, config: &Config) -> bool {
    let name = host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
    let name = name.map_or(host, |(name, _)| name);
    let is = |known: &str| known.eq_ignore_ascii_case(name);
    if !config.hosts.is_empty() {
        return config.hosts.iter().any(|known| is(known));
    }
    let is_loopback =
        matches!(name, "127.0.0.1" | "[::1]") || is("localhost") || name.ends_with(".localhost");
    let is_public = config.public_url.as_ref().and_then(Url::host_str).is_some_and(is);
    if config.listen.ip().is_loopback() {
        return is_loopback || is_public;
    }
    // Nobody can rebind an address, as they can a name.
    let is_address = name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
    config.public_url.is_none() || is_loopback || is_public || is_address
}

/// The host, and the port unless it is the default of the scheme.
fn authority(origin: &Url) -> Option<String> {
    let host = origin.host_str()?;
    Some(origin.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")))
}

/// Removes the default port of the scheme from a `Host` header. A URL omits it.
fn strip_port<'a>(origin: &Url, host: &'a str) -> &'a str {
    let own = match origin.scheme() {
        "https" => ":443",
        _ => ":80",
    };
    host.strip_suffix(own).unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[test]
    fn only_the_own_and_the_listed_origins_are_allowed() {
        let config = Config::parse_from([
            "up-server",
            "--allowed-origins",
            "https://friend.example",
            "--public-url",
            "https://up.example/pictures",
            "--cors-origins",
            "https://script.example",
        ]);
        for (host, origin, allowed) in [
            ("localhost:8080", None, true),
            ("localhost:8080", Some("http://localhost:8080"), true),
            ("up.example:443", Some("https://up.example"), true),
            ("internal:8080", Some("https://up.example"), true),
            ("localhost:8080", Some("https://friend.example"), true),
            ("localhost:8080", Some("https://script.example"), true),
            ("localhost:8080", Some("http://localhost:8081"), false),
            ("localhost:8080", Some("http://friend.example"), false),
            ("localhost:8080", Some("https://evil.example"), false),
            ("localhost:8080", Some("http://localhost:8080.evil.example"), false),
            ("localhost:8080", Some("null"), false),
            // A name that was rebound to this address.
            ("evil.example:8080", Some("http://evil.example:8080"), false),
            ("up.localhost:8080", Some("http://up.localhost:8080"), true),
            ("[::1]:8080", Some("http://[::1]:8080"), true),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, host.parse().unwrap());
            if let Some(origin) = origin {
                headers.insert(header::ORIGIN, origin.parse().unwrap());
            }
            assert_eq!(is_allowed(&headers, &config), allowed, "{host} {origin:?}");
        }
    }

    #[test]
    fn a_form_of_a_page_that_hides_its_origin_is_allowed_if_the_browser_says_it_is_the_own() {
        let config = Config::parse_from(["up-server"]);
        for (site, allowed) in [("same-origin", true), ("cross-site", false), ("same-site", false)] {
            let headers = HeaderMap::from_iter([
                (header::HOST, "localhost:8080".parse().unwrap()),
                (header::ORIGIN, "null".parse().unwrap()),
                (SEC_FETCH_SITE.parse().unwrap(), site.parse().unwrap()),
            ]);
            assert_eq!(is_allowed(&headers, &config), allowed, "{site}");
        }
    }

    #[test]
    fn named_hosts_are_believed_and_others_are_not() {
        let believes = |arguments: &[&str], host| {
            is_own_name(host, &Config::parse_from([&["up-server"], arguments].concat()))
        };
        assert!(believes(&["--hosts", "up.example,other.example"], "UP.example:8080"));
        assert!(!believes(&["--hosts", "up.example"], "localhost:8080"));
        assert!(believes(&["--listen", "0.0.0.0:80"], "any.example"));
        let public = ["--public-url", "https://up.example/", "--listen"];
        let elsewhere = |listen| move |host| believes(&[&public[..], &[listen]].concat(), host);
        let (local, everywhere) = (elsewhere("127.0.0.1:80"), elsewhere("0.0.0.0:80"));
        for (host, locally, from_everywhere) in [
            ("up.example", true, true),
            ("localhost:80", true, true),
            ("any.example", false, false),
            ("192.0.2.1:80", false, true),
            ("[2001:db8::1]", false, true),
            ("192.0.2.1.any.example", false, false),
        ] {
            assert_eq!((local(host), everywhere(host)), (locally, from_everywhere), "{host}");
        }
    }
}
