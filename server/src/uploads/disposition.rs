//! The `Content-Disposition` of a part, in the forms that real clients send.
//!
//! | client | a name that is not ASCII |
//! | --- | --- |
//! | browsers, curl | UTF-8; a quotation mark is `%22` |
//! | curl on Windows | bytes of the system's code page, read as Latin-1 here |
//! | Python requests | `filename*=utf-8''…` (RFC 5987) |
//! | .NET | `filename="=?utf-8?B?…?="` (RFC 2047), and often `filename*` |
//! | aiohttp | percent-encoded UTF-8 in `filename` |

use mailparse::{parse_content_disposition, parse_header};
use percent_encoding::percent_decode_str;

/// The names of a part.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Disposition {
    /// The name of the form's field.
    pub(crate) field: Option<String>,
    /// The name of the file; empty if a browser's file input has none.
    pub(crate) file: Option<String>,
}

impl Disposition {
    /// Reads the value of the header.
    pub(crate) fn parse(value: &[u8]) -> Self {
        let text = match std::str::from_utf8(value) {
            Ok(text) => text.to_owned(),
            Err(_) => value.iter().copied().map(char::from).collect(),
        };
        let mut parsed = parse_content_disposition(&text);
        let file = parsed.params.remove("filename").map(|name| percent_decoded(encoded_words(name)));
        Self { field: parsed.params.remove("name"), file }
    }
}

/// Decodes the encoded words of RFC 2047.
fn encoded_words(name: String) -> String {
    if !name.contains("=?") {
        return name;
    }
    match parse_header(format!("name: {name}").as_bytes()) {
        Ok((header, _)) => header.get_value(),
        Err(_) => name,
    }
}

/// Decodes a percent-encoded name if it has an escape of a character outside ASCII. Other percent signs are part of the
/// name: a file may be called `100%25.jpg`.
fn percent_decoded(name: String) -> String {
    let is_escaped = name.as_bytes().windows(3).any(|window| {
        matches!(window, [b'%', b'8' | b'9' | b'A'..=b'F' | b'a'..=b'f', last] if last.is_ascii_hexdigit())
    });
    if !is_escaped {
        return name;
    }
    match percent_decode_str(&name).decode_utf8() {
        Ok(decoded) => decoded.into_owned(),
        Err(_) => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_clients_in_use_are_read() {
        for (value, field, file) in [
            (&b"form-data; name=\"file\"; filename=\"cat.jpg\""[..], Some("file"), Some("cat.jpg")),
            (b"form-data; name=\"file\"", Some("file"), None),
            (b"form-data; name=\"file\"; filename=\"\"", Some("file"), Some("")),
            (b"form-data; name=file; filename=cat.jpg", Some("file"), Some("cat.jpg")),
            (b"form-data; name=\"a\"; filename=\"one; two.jpg\"", Some("a"), Some("one; two.jpg")),
            ("form-data; name=\"a\"; filename=\"猫.jpg\"".as_bytes(), Some("a"), Some("猫.jpg")),
            (b"form-data; name=\"a\"; filename=\"caf\xe9.jpg\"", Some("a"), Some("café.jpg")),
            (b"form-data; name=\"a\"; filename*=utf-8''caf%C3%A9.jpg", Some("a"), Some("café.jpg")),
            (b"form-data; name=a; filename=\"=?utf-8?B?Y2Fmw6kuanBn?=\"", Some("a"), Some("café.jpg")),
            (b"form-data; name=\"a\"; filename=\"caf%C3%A9.jpg\"", Some("a"), Some("café.jpg")),
            (b"form-data; name=\"a\"; filename=\"100%25.jpg\"", Some("a"), Some("100%25.jpg")),
            (b"form-data", None, None),
            (b"", None, None),
        ] {
            let expected = Disposition { field: field.map(str::to_owned), file: file.map(str::to_owned) };
            assert_eq!(Disposition::parse(value), expected, "{}", String::from_utf8_lossy(value));
        }
    }
}
