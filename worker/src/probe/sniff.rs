//! Detects the format from the first bytes. File names and declared types never decide.

use crate::Format;

/// The number of first bytes that a sniff needs. With fewer it detects less.
pub const SNIFF_BYTES: usize = 512;

/// The kind of file that the first bytes indicate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sniff {
    /// A picture of an accepted format.
    Format(Format),
    /// A file that is not accepted, as text for people: "a PDF".
    Other(&'static str),
    /// An unknown kind of file.
    Unknown,
    /// An empty file.
    Empty,
}

/// Sizes of the second header of a bitmap. The two letters `BM` alone may start a text.
const BITMAP_HEADERS: [u8; 8] = [12, 16, 40, 52, 56, 64, 108, 124];

/// The first bytes of files that are not accepted, and the kind of file.
const OTHERS: [(&[u8], &str); 22] = [
    (b"%PDF-", "a PDF"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"IIRO", "a camera raw file (ORF)"),
    (b"IIRS", "a camera raw file (ORF)"),
    (b"MMOR", "a camera raw file (ORF)"),
    (b"IIU\0", "a camera raw file (RW2)"),
    (b"FUJIFILMCCD-RAW", "a camera raw file (RAF)"),
    (b"II\x1a\0\0\0HEAPCCDR", "a camera raw file (CRW)"),
    (b"FOVb", "a camera raw file (X3F)"),
    (b"\xff\x0a", "a JPEG XL picture"),
    (b"\0\0\0\x0cJXL ", "a JPEG XL picture"),
    (b"\0\0\0\x0cjP  ", "a JPEG 2000 picture"),
    (b"8BPS", "a Photoshop file"),
    (b"\0\0\x01\0", "an icon"),
    (b"\x1a\x45\xdf\xa3", "a video"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!", "a RAR archive"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a program"),
    (b"ID3", "a sound file"),
    (b"OggS", "a sound file"),
];

/// Detects the kind of a file from its first bytes.
#[must_use]
pub fn sniff(head: &[u8]) -> Sniff {
    match head {
        [] => Sniff::Empty,
        [0xff, 0xd8, 0xff, ..] => Sniff::Format(Format::Jpeg),
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Sniff::Format(Format::Png),
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Sniff::Format(Format::Gif),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Sniff::Format(Format::WebP),
        [b'R', b'I', b'F', b'F', ..] => Sniff::Other("a sound file or video"),
        [b'I', b'I', 42, 0, _, _, _, _, b'C', b'R', 2, ..] => Sniff::Other("a camera raw file (CR2)"),
        [b'I', b'I', 42 | 43, 0, ..] | [b'M', b'M', 0, 42 | 43, ..] => Sniff::Format(Format::Tiff),
        [b'B', b'M', ..] if head.get(14).is_some_and(|size| BITMAP_HEADERS.contains(size)) => {
            Sniff::Format(Format::Bmp)
        }
        [a, b, c, d, b'f', b't', b'y', b'p', brands @ ..] => {
            let length = u32::from_be_bytes([*a, *b, *c, *d]).saturating_sub(8) as usize;
            container(&brands[..length.min(brands.len())])
        }
        _ => OTHERS
            .iter()
            .find(|(magic, _)| head.starts_with(magic))
            .map_or_else(|| text(head).map_or(Sniff::Unknown, Sniff::Other), |(_, what)| Sniff::Other(what)),
    }
}

/// The kind of an ISO base media file, by its major brand and, after a version, its compatible brands.
fn container(brands: &[u8]) -> Sniff {
    let all =
        || brands.as_chunks::<4>().0.iter().enumerate().filter(|(at, _)| *at != 1).map(|(_, brand)| brand);
    let major = all().next();
    // Writers of AVIF may name the general brand of still pictures first.
    if all().any(|brand| matches!(brand, b"avif" | b"avis" | b"avio")) {
        return Sniff::Format(Format::Avif);
    }
    match major {
        Some(b"crx ") => Sniff::Other("a camera raw file (CR3)"),
        Some(b"jp2 " | b"jpx ") => Sniff::Other("a JPEG 2000 picture"),
        // HEVC, and the brands of still pictures and their sequences of any coding (ISO/IEC 23008-12, annex B).
        _ if all().any(|brand| {
            matches!(brand, [b'h', b'e', _, _] | b"mif1" | b"mif2" | b"mif3" | b"msf1" | b"miaf")
        }) =>
        {
            Sniff::Format(Format::Heic)
        }
        _ => Sniff::Other("a video"),
    }
}

/// The kind of a text file; `None` if it is not text.
fn text(head: &[u8]) -> Option<&'static str> {
    let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    let head = &head[..head.len().min(SNIFF_BYTES)];
    let readable = match std::str::from_utf8(head) {
        Ok(text) => text,
        // A character may be cut in two at the end.
        Err(error) if head.len() - error.valid_up_to() < 4 => {
            std::str::from_utf8(&head[..error.valid_up_to()]).ok()?
        }
        Err(_) => return None,
    };
    if readable.is_empty() || readable.chars().any(|c| c.is_control() && !c.is_ascii_whitespace()) {
        return None;
    }
    let lower = readable.trim_start().to_ascii_lowercase();
    let markup = lower.starts_with('<');
    Some(if markup && lower.contains("<svg") {
        "an SVG"
    } else if markup && (lower.contains("<html") || lower.starts_with("<!doctype html")) {
        "a web page"
    } else {
        "text"
    })
}
