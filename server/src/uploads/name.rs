//! The name that a client gives a file. Data only: it decides nothing, and is never a path.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// The longest name that is kept, in bytes: what file systems allow.
const MAX_NAME_BYTES: usize = 255;

/// The name of a file that was sent without one.
const UNNAMED: &str = "untitled";

/// What RFC 8187 lets stand in an extended value.
const ATTRIBUTE: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'!')
    .remove(b'#')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b'-')
    .remove(b'.')
    .remove(b'^')
    .remove(b'_')
    .remove(b'`')
    .remove(b'|')
    .remove(b'~');

/// Makes a name fit to be stored, logged and shown: its last path component, without control characters, ends of lines
/// or characters that turn the direction of text, and not longer than [`MAX_NAME_BYTES`].
pub(crate) fn clean(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let mut clean: String =
        last.chars().filter(|c| !c.is_control() && !ends_line(*c) && !turns_direction(*c)).collect();
    clean.truncate(clean.floor_char_boundary(MAX_NAME_BYTES));
    let trimmed = clean.trim();
    if trimmed.is_empty() || trimmed.chars().all(|c| c == '.') {
        UNNAMED.to_owned()
    } else {
        trimmed.to_owned()
    }
}

/// The same of a name in a form. A browser writes a quotation mark as `%22` there, and nothing else that [`clean`]
/// would keep; a name that had `%22` in it before cannot be told from that.
pub(crate) fn clean_of_form(name: &str) -> String {
    clean(&name.replace("%22", "\""))
}

/// The `Content-Disposition` of a download (RFC 6266): a plain name for old clients, and the real one.
pub(crate) fn as_attachment(name: &str) -> String {
    let harmless = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ' ');
    let plain: String = name.chars().map(|c| if harmless(c) { c } else { '_' }).collect();
    let real = utf8_percent_encode(name, ATTRIBUTE);
    format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{real}")
}

/// The two that are no control characters.
const fn ends_line(c: char) -> bool {
    matches!(c, '\u{2028}' | '\u{2029}')
}

/// Bidirectional controls: with them `gpj.exe` reads `exe.jpg`.
const fn turns_direction(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_reduced_to_what_is_harmless() {
        for (name, cleaned) in [
            ("cat.jpg", "cat.jpg"),
            ("../../etc/passwd", "passwd"),
            ("C:\\pictures\\cat.jpg", "cat.jpg"),
            ("a\r\nSet-Cookie: b.jpg", "aSet-Cookie: b.jpg"),
            ("\u{202e}gpj.exe", "gpj.exe"),
            ("a\u{61c}b\u{2028}c.png", "abc.png"),
            ("  ", "untitled"),
            ("..", "untitled"),
            ("猫.jpg", "猫.jpg"),
        ] {
            assert_eq!(clean(name), cleaned, "{name:?}");
        }
        assert_eq!(clean_of_form("a %22b%22 100%25.jpg"), "a \"b\" 100%25.jpg");
    }

    proptest! {
        #[test]
        fn a_clean_name_is_short_of_one_line_and_stays_clean(name in ".{0,400}") {
            let cleaned = clean(&name);
            prop_assert!(!cleaned.is_empty() && cleaned.len() <= MAX_NAME_BYTES);
            prop_assert!(!cleaned.contains(['/', '\\', '\n', '\r', '\0']));
            prop_assert_eq!(clean(&cleaned), cleaned);
        }
    }
}
