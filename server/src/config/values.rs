//! The values of settings, read from text. Errors say what is expected.

use std::{net::IpAddr, time::Duration};

use ipnet::IpNet;
use url::{Origin, Url};
use worker::Format;

pub(super) fn parse_origin(text: &str) -> Result<Origin, String> {
    let origin = Url::parse(text).map_err(|error| error.to_string())?.origin();
    if origin.is_tuple() && origin.ascii_serialization() == text.trim_end_matches('/') {
        Ok(origin)
    } else {
        Err("not an origin; example: https://example.org or http://localhost:3000".into())
    }
}

/// Reads the name of a format that this build decodes.
pub(super) fn parse_format(text: &str) -> Result<Format, String> {
    let format: Format = text.trim().to_lowercase().parse().unwrap_or(Format::Unknown);
    if format.is_built_in() {
        return Ok(format);
    }
    let names: Vec<_> =
        Format::ALL.into_iter().filter(|format| format.is_built_in()).map(Format::name).collect();
    if format == Format::Unknown {
        return Err(format!("it is not one of {}", names.join(", ")));
    }
    Err(format!("this build cannot decode it; it decodes {}", names.join(", ")))
}

pub(super) fn parse_network(text: &str) -> Result<IpNet, String> {
    let address = || text.parse::<IpAddr>().map(IpNet::from);
    text.parse()
        .or_else(|_| address())
        .map_err(|_| "not an address or network; example: 10.0.0.0/8, 192.0.2.1 or 2001:db8::/32".into())
}

/// The longest delay of a drain: supervisors kill sooner.
const LONGEST_DELAY: Duration = Duration::from_secs(60 * 60);

/// Reads seconds, or a time with a unit. Zero is allowed.
pub(super) fn parse_delay(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().map(Duration::from_secs);
    let time = seconds.or_else(|_| humantime::parse_duration(text)).map_err(|error| error.to_string())?;
    if time > LONGEST_DELAY {
        return Err("the time must be at most one hour".into());
    }
    Ok(time)
}

pub(super) fn parse_public_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| error.to_string())?;
    if matches!(url.scheme(), "http" | "https") && url.query().is_none() && url.fragment().is_none() {
        Ok(url)
    } else {
        Err("not an http or https URL without query and fragment; example: https://example.org/prefix".into())
    }
}
