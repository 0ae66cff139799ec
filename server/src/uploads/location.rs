//! Removes the place where a photograph was taken from its file while it is received (`--strip-location`).
//!
//! Metadata is overwritten in place, so every length in the file stays right, and no byte of a pixel changes:
//!
//! | where | what is overwritten |
//! | --- | --- |
//! | EXIF in JPEG, PNG, WebP, HEIC and AVIF | the GPS directory; the orientation and everything else stay |
//! | EXIF that cannot be read | all of it; in HEIC and AVIF its header |
//! | XMP that names GPS, extended XMP of JPEG, compressed text of PNG that holds EXIF or XMP | all of it |
//!
//! A block of metadata is held back until it has arrived, at most [`MAX_BLOCK_BYTES`]. Longer blocks, which are rare,
//! are overwritten as a whole. Other formats, names of places in IPTC, and notes of camera makers are not changed.

mod exif;
mod heif;

use bytes::Bytes;
use memchr::{memchr, memmem};
use worker::Format;

use self::exif::wipe_gps;

/// The longest block that is read, in bytes: the longest segment of a JPEG (ITU T.81, B.1.1.4: a marker and 65,535).
pub(crate) const MAX_BLOCK_BYTES: usize = 2 + 65_535;

/// Bytes of a cut block that are passed on: the marker, length and name of a block, and no metadata.
const SHOWN_BYTES: usize = 12;

/// How the blocks of JPEG that hold metadata begin.
const EXIF: &[u8] = b"Exif\0\0";
const XMP: &[u8] = b"http://ns.adobe.com/xap/1.0/\0";
const EXTENDED_XMP: &[u8] = b"http://ns.adobe.com/xmp/extension/\0";

/// Keywords of texts in PNG that hold EXIF or XMP. ImageMagick writes the raw profiles.
const PNG_KEYWORDS: [&[u8]; 4] =
    [b"XML:com.adobe.xmp", b"Raw profile type exif", b"Raw profile type APP1", b"Raw profile type xmp"];
/// The longest keyword of a PNG text, with its zero, in bytes (PNG, 11.3.3).
const PNG_KEYWORD_BYTES: usize = 80;
/// The type of an overwritten chunk: private, ancillary and safe to copy, so that every reader ignores it.
const PNG_OVERWRITTEN: &[u8; 4] = b"stRp";

/// Passes a picture on, without its location.
pub(crate) struct LocationFilter {
    container: Container,
    state: State,
    /// Bytes of a block that has not arrived as a whole.
    held: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Container {
    Jpeg,
    Png,
    WebP,
    Heif,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    /// At the first byte of the file.
    Start,
    /// At the first byte of a block.
    Block,
    /// So many bytes are passed on, then another state follows.
    Pass(u64, After),
    /// So many bytes are overwritten; then the bytes of `end` stand instead of as many.
    Overwrite { left: u64, end: Vec<u8> },
    /// Long XMP of a HEIC or an AVIF is overwritten up to its end.
    OverwriteXmp,
    /// Compressed pixels of a JPEG, up to the next marker.
    Scan,
    /// All other bytes are passed on.
    Rest,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum After {
    Block,
    Scan,
}

/// The next block of a file.
enum Block {
    /// It begins further back: more bytes are needed to tell.
    Incomplete,
    /// It has no location: another state follows.
    Becomes(State),
    /// It has so many bytes, all of which are there, and may hold a location.
    Metadata(usize),
    /// It is too long to be read. Its beginning is replaced, and the state overwrites the rest.
    TooLong { beginning: Vec<u8>, then: State },
}

impl LocationFilter {
    /// The filter for a format; `None` if the format is passed on unchanged.
    pub(crate) fn of(format: Format) -> Option<Self> {
        let container = match format {
            Format::Jpeg => Container::Jpeg,
            Format::Png => Container::Png,
            Format::WebP => Container::WebP,
            Format::Heic | Format::Avif => Container::Heif,
            _ => return None,
        };
        Some(Self { container, state: State::Start, held: Vec::new() })
    }

    /// The next bytes of the file, without the location. Over all calls they are as many as were given, but for those of
    /// [`end`](Self::end).
    pub(crate) fn pass(&mut self, bytes: Bytes) -> Bytes {
        if self.held.is_empty() {
            match &mut self.state {
                State::Rest => return bytes,
                State::Pass(left, _) if *left > bytes.len() as u64 => {
                    *left -= bytes.len() as u64;
                    return bytes;
                }
                _ => {}
            }
        }
        let mut input = std::mem::take(&mut self.held);
        input.extend_from_slice(&bytes);
        let mut output = Vec::with_capacity(input.len());
        let used = self.run(&mut input, &mut output);
        self.held = input.split_off(used);
        output.into()
    }

    /// The bytes that were held back when the file ended: the beginning of a block that is cut off, overwritten.
    pub(crate) fn end(mut self) -> Bytes {
        if self.container == Container::Heif {
            if self.state == State::OverwriteXmp {
                self.held.fill(b' ');
            }
            heif::edit_rest(&mut self.held);
            return self.held.into();
        }
        let is_metadata = self.held.len() > SHOWN_BYTES;
        if is_metadata {
            self.held[SHOWN_BYTES..].fill(0);
        }
        self.held.into()
    }

    /// Moves bytes from the input to the output, and returns how many.
    fn run(&mut self, input: &mut [u8], output: &mut Vec<u8>) -> usize {
        let mut at = 0;
        loop {
            let rest = &mut input[at..];
            match &mut self.state {
                State::Start | State::Block => match self.block(rest) {
                    Block::Incomplete => return at,
                    Block::Becomes(state) => self.state = state,
                    Block::Metadata(length) => {
                        self.edit(&mut rest[..length]);
                        output.extend_from_slice(&rest[..length]);
                        at += length;
                    }
                    Block::TooLong { beginning, then } => {
                        at += beginning.len();
                        output.extend(beginning);
                        self.state = then;
                    }
                },
                State::Pass(left, after) => {
                    let length = rest.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                    output.extend_from_slice(&rest[..length]);
                    at += length;
                    *left -= length as u64;
                    if *left > 0 {
                        return at;
                    }
                    self.state = if *after == After::Scan { State::Scan } else { State::Block };
                }
                State::Overwrite { left, end } => {
                    let length = rest.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                    output.resize(output.len() + length, b' ');
                    at += length;
                    *left -= length as u64;
                    if *left > 0 || rest.len() - length < end.len() {
                        return at;
                    }
                    at += end.len();
                    output.append(end);
                    self.state = State::Block;
                }
                State::OverwriteXmp => {
                    let (length, is_end) = heif::rest_of_xmp(rest);
                    output.resize(output.len() + length, b' ');
                    at += length;
                    if !is_end {
                        return at;
                    }
                    self.state = State::Block;
                }
                State::Scan => {
                    let (length, next) = scan(rest);
                    output.extend_from_slice(&rest[..length]);
                    at += length;
                    match next {
                        Some(state) => self.state = state,
                        None => return at,
                    }
                }
                State::Rest => {
                    output.extend_from_slice(rest);
                    return input.len();
                }
            }
        }
    }

    fn block(&self, rest: &[u8]) -> Block {
        match (self.container, &self.state) {
            (Container::Jpeg, _) => jpeg_block(rest),
            (Container::Heif, _) => heif::block(rest),
            (Container::Png, State::Start) => Block::Becomes(State::Pass(8, After::Block)),
            (Container::WebP, State::Start) => Block::Becomes(State::Pass(12, After::Block)),
            (Container::Png, _) => png_block(rest),
            (Container::WebP, _) => webp_block(rest),
        }
    }

    /// Overwrites the location in a block of metadata.
    fn edit(&self, block: &mut [u8]) {
        match self.container {
            Container::Jpeg => edit_jpeg(&mut block[4..]),
            Container::Png => edit_png(block),
            Container::Heif => heif::edit(block),
            Container::WebP if block.starts_with(b"EXIF") => {
                let padding = if block[8..].starts_with(EXIF) { EXIF.len() } else { 0 };
                wipe_gps(&mut block[8 + padding..]);
            }
            Container::WebP => wipe_xmp(&mut block[8..]),
        }
    }
}

/// Bytes of compressed pixels up to a marker, and the state after them; `None` if they go on.
fn scan(rest: &[u8]) -> (usize, Option<State>) {
    let mut at = 0;
    while let Some(found) = memchr(0xFF, &rest[at..]) {
        let marker = at + found;
        match rest.get(marker + 1) {
            None => return (marker, None),
            // A byte of pixels, a restart, or a fill byte (ITU T.81, B.1.1).
            Some(0 | 0xD0..=0xD7) => at = marker + 2,
            Some(0xFF) => at = marker + 1,
            Some(_) => return (marker, Some(State::Block)),
        }
    }
    (rest.len(), None)
}

fn jpeg_block(rest: &[u8]) -> Block {
    let [first, marker, ..] = *rest else { return Block::Incomplete };
    match (first, marker) {
        // Bytes between two blocks, or after the picture, where other pictures may follow.
        (0..=0xFE, _) => Block::Becomes(State::Scan),
        (_, 0xFF) => Block::Becomes(State::Pass(1, After::Block)),
        (_, 0 | 1 | 0xD0..=0xD9) => Block::Becomes(State::Pass(2, After::Block)),
        _ => {
            let Some(length) = rest.get(2..4) else { return Block::Incomplete };
            let length = 2 + usize::from(u16::from_be_bytes([length[0], length[1]]));
            match marker {
                _ if length < 4 => Block::Becomes(State::Pass(2, After::Scan)),
                0xE1 if rest.len() < length => Block::Incomplete,
                0xE1 => Block::Metadata(length),
                0xDA => Block::Becomes(State::Pass(length as u64, After::Scan)),
                _ => Block::Becomes(State::Pass(length as u64, After::Block)),
            }
        }
    }
}

fn edit_jpeg(segment: &mut [u8]) {
    if segment.starts_with(EXIF) {
        wipe_gps(&mut segment[EXIF.len()..]);
    } else if segment.starts_with(XMP) {
        wipe_xmp(&mut segment[XMP.len()..]);
    } else if segment.starts_with(EXTENDED_XMP) {
        // The name of a property may lie across two segments.
        segment[EXTENDED_XMP.len()..].fill(b' ');
    }
}

fn png_block(rest: &[u8]) -> Block {
    let Some(header) = rest.get(..8) else { return Block::Incomplete };
    let length = u32::from_be_bytes([header[0], header[1], header[2], header[3]]);
    let whole = u64::from(length) + 12;
    let name = &header[4..8];
    let is_text = matches!(name, b"tEXt" | b"zTXt" | b"iTXt");
    if name == b"IEND" {
        return Block::Becomes(State::Rest);
    }
    if is_text {
        let shown = PNG_KEYWORD_BYTES.min(length as usize);
        let Some(beginning) = rest.get(8..8 + shown) else { return Block::Incomplete };
        if !PNG_KEYWORDS.iter().any(|keyword| begins_with_keyword(beginning, keyword)) {
            return Block::Becomes(State::Pass(whole, After::Block));
        }
    } else if name != b"eXIf" {
        return Block::Becomes(State::Pass(whole, After::Block));
    }
    if whole > MAX_BLOCK_BYTES as u64 {
        let mut checksum = crc32fast::Hasher::new();
        checksum.update(PNG_OVERWRITTEN);
        let spaces = [b' '; 4096];
        let mut left = length as usize;
        while left > 0 {
            let some = left.min(spaces.len());
            checksum.update(&spaces[..some]);
            left -= some;
        }
        let end = checksum.finalize().to_be_bytes().to_vec();
        let then = State::Overwrite { left: length.into(), end };
        return Block::TooLong { beginning: [&header[..4], PNG_OVERWRITTEN].concat(), then };
    }
    let whole = usize::try_from(whole).unwrap_or(usize::MAX);
    if rest.len() < whole { Block::Incomplete } else { Block::Metadata(whole) }
}

fn begins_with_keyword(text: &[u8], keyword: &[u8]) -> bool {
    text.strip_prefix(keyword).is_some_and(|rest| rest.first() == Some(&0))
}

fn edit_png(chunk: &mut [u8]) {
    let end = chunk.len() - 4;
    let xmp = PNG_KEYWORDS[0];
    let (name, data) = (chunk[4..8].to_vec(), &mut chunk[8..end]);
    // An iTXt after its keyword: a zero, the compression flag and method, language, translation, text.
    let is_plain_xmp =
        name == b"iTXt" && begins_with_keyword(data, xmp) && data.get(xmp.len() + 1) == Some(&0);
    if name == b"eXIf" {
        wipe_gps(data);
    } else if !is_plain_xmp || names_gps(data) {
        data.fill(b' ');
        chunk[4..8].copy_from_slice(PNG_OVERWRITTEN);
    }
    let checksum = crc32fast::hash(&chunk[4..end]);
    chunk[end..].copy_from_slice(&checksum.to_be_bytes());
}

fn webp_block(rest: &[u8]) -> Block {
    let Some(header) = rest.get(..8) else { return Block::Incomplete };
    let length = u32::from_le_bytes([header[4], header[5], header[6], header[7]]);
    let padded = u64::from(length) + u64::from(length % 2);
    if !matches!(&header[..4], b"EXIF" | b"XMP ") {
        return Block::Becomes(State::Pass(8 + padded, After::Block));
    }
    if padded > MAX_BLOCK_BYTES as u64 {
        let then = State::Overwrite { left: padded, end: Vec::new() };
        return Block::TooLong { beginning: header.to_vec(), then };
    }
    let whole = 8 + usize::try_from(padded).unwrap_or(usize::MAX);
    if rest.len() < whole { Block::Incomplete } else { Block::Metadata(whole) }
}

fn wipe_xmp(packet: &mut [u8]) {
    if names_gps(packet) {
        packet.fill(b' ');
    }
}

/// Whether an XMP packet has a property of the location: their names begin with `GPS` (XMP, part 2, 3.4). A packet in
/// UTF-16 or UTF-32 counts as one.
fn names_gps(packet: &[u8]) -> bool {
    memmem::find(packet, b"GPS").is_some() || memmem::find(packet, b"G\0").is_some()
}

#[cfg(test)]
mod tests;
