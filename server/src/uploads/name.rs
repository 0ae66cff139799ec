//! The file name that a client sends. It is stored and shown, and never used as a path or to detect a type.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// The maximum length of a stored name, in bytes: the limit of most file systems.
const MAX_NAME_BYTES: usize = 255;

/// The name of a file that was sent without one.
const UNNAMED: &str = "untitled";

/// The characters that RFC 8187 requires to be encoded in an extended value.
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

/// Makes a name safe to store, log and show: keeps its last path component, removes control characters, line separators
/// and bidirectional controls, and truncates it to [`MAX_NAME_BYTES`].
pub(crate) fn clean(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let mut clean: String = last
        .chars()
        .filter(|c| !c.is_control() && !is_line_separator(*c) && !is_bidirectional_control(*c))
        .collect();
    clean.truncate(clean.floor_char_boundary(MAX_NAME_BYTES));
    let trimmed = clean.trim();
    if trimmed.is_empty() || trimmed.chars().all(|c| c == '.') {
        UNNAMED.to_owned()
    } else {
        trimmed.to_owned()
    }
}

/// [`clean`] for a name in a form. Browsers encode a quotation mark as `%22` there, and no other character that
/// [`clean`] keeps. A literal `%22` in a name is decoded too, because the two cannot be distinguished.
pub(crate) fn clean_of_form(name: &str) -> String {
    clean(&name.replace("%22", "\""))
}

/// The `Content-Disposition` of a download (RFC 6266): an ASCII name for old clients, and the encoded full name.
pub(crate) fn as_attachment(name: &str) -> String {
    let is_safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ' ');
    let plain: String = name.chars().map(|c| if is_safe(c) { c } else { '_' }).collect();
    let encoded = utf8_percent_encode(name, ATTRIBUTE);
    format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{encoded}")
}

/// The two line separators that Unicode does not class as control characters.
const fn is_line_separator(c: char) -> bool {
    matches!(c, '\u{2028}' | '\u{2029}')
}

/// Bidirectional controls, which can show `gpj.exe` as `exe.jpg`.
const fn is_bidirectional_control(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_lose_paths_and_unsafe_characters() {
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
        fn a_clean_name_is_one_short_line_and_cleaning_it_again_changes_nothing(name in ".{0,400}") {
            let cleaned = clean(&name);
            prop_assert!(!cleaned.is_empty() && cleaned.len() <= MAX_NAME_BYTES);
            prop_assert!(!cleaned.contains(['/', '\\', '\n', '\r', '\0']));
            prop_assert_eq!(clean(&cleaned), cleaned);
        }
    }
}
