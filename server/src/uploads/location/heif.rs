//! Metadata of HEIC and AVIF: items, which lie anywhere in the file, often before the boxes that tell where. So they are
//! found by how they begin, which compressed pixels do not by chance: eight bytes or more are the same.

use memchr::{memchr2_iter, memmem};

use super::{After, Block, EXIF, MAX_BLOCK_BYTES, State, exif, names_gps};

/// How EXIF begins in an item: the distance of its TIFF header, which is zero where nothing lies between, and the header.
const BARE_EXIF: [&[u8]; 2] = [b"\0\0\0\0II*\0", b"\0\0\0\0MM\0*"];
const NAMED_EXIF: [&[u8]; 2] = [b"Exif\0\0II*\0", b"Exif\0\0MM\0*"];

/// Both ends of XMP.
const XMP: &[u8] = b"<x:xmpmeta";
const XMP_END: &[u8] = b"</x:xmpmeta>";

/// All beginnings, each with the place of its mark: the byte by which it is found. No mark lies in another beginning before
/// that one's own mark, so beginnings are found in the order of the file.
const BEGINNINGS: [(&[u8], usize); 5] =
    [(BARE_EXIF[0], 6), (BARE_EXIF[1], 7), (NAMED_EXIF[0], 8), (NAMED_EXIF[1], 9), (XMP, 0)];
const MARKS: [u8; 2] = [b'*', b'<'];

/// Bytes of the longest of these beginnings, less one: so many may belong to one that is cut in two.
const KEPT_BYTES: usize = 9;

/// The next block: metadata, or what lies before it.
pub(super) fn block(rest: &[u8]) -> Block {
    match beginning(rest) {
        None if rest.len() > KEPT_BYTES => {
            Block::Becomes(State::Pass((rest.len() - KEPT_BYTES) as u64, After::Block))
        }
        None => Block::Incomplete,
        Some(0) if rest.starts_with(XMP) => {
            let part = &rest[..rest.len().min(MAX_BLOCK_BYTES)];
            match memmem::find(part, XMP_END) {
                Some(end) => Block::Metadata(end + XMP_END.len()),
                None if rest.len() < MAX_BLOCK_BYTES => Block::Incomplete,
                None => Block::TooLong { beginning: Vec::new(), then: State::OverwriteXmp },
            }
        }
        // Its length is not known.
        Some(0) if rest.len() < MAX_BLOCK_BYTES => Block::Incomplete,
        Some(0) => Block::Metadata(exif_block(&rest[..MAX_BLOCK_BYTES])),
        Some(before) => Block::Becomes(State::Pass(before as u64, After::Block)),
    }
}

/// The bytes up to the end of XMP, and whether it is there. Its closing tag is left, and may be cut in two.
pub(super) fn rest_of_xmp(rest: &[u8]) -> (usize, bool) {
    match memmem::find(rest, XMP_END) {
        Some(end) => (end, true),
        None => ((rest.len() + 1).saturating_sub(XMP_END.len()), false),
    }
}

/// Overwrites the location in a block.
pub(super) fn edit(block: &mut [u8]) {
    if block.starts_with(XMP) {
        if names_gps(block) {
            block.fill(b' ');
        }
        return;
    }
    let is_named = NAMED_EXIF.iter().any(|beginning| block.starts_with(beginning));
    let header = if is_named { EXIF.len() } else { 4 };
    if exif::wipe_gps_directory(&mut block[header..]).is_none() {
        // Its end is not known, and pixels may follow. Without its header no reader finds it.
        block[header..header + 4].fill(0);
    }
}

/// Overwrites the location in all that is left at the end of a file.
pub(super) fn edit_rest(mut rest: &mut [u8]) {
    let mut may_end = true;
    while let Some(start) = beginning(rest) {
        rest = &mut rest[start..];
        let mut length = None;
        if may_end && rest.starts_with(XMP) {
            length = memmem::find(rest, XMP_END).map(|end| end + XMP_END.len());
            // There is none behind it either: it is not looked for again.
            may_end = length.is_some();
        }
        let length = length.unwrap_or_else(|| exif_block(rest));
        edit(&mut rest[..length]);
        rest = &mut rest[length..];
    }
}

/// The first place at which metadata begins. It looks at no byte behind it but those of the beginning, so that many of them
/// cost no more than one pass.
fn beginning(bytes: &[u8]) -> Option<usize> {
    memchr2_iter(MARKS[0], MARKS[1], bytes).find_map(|mark| {
        BEGINNINGS.iter().find_map(|(beginning, place)| {
            let start = mark.checked_sub(*place)?;
            bytes[start..].starts_with(beginning).then_some(start)
        })
    })
}

/// The bytes from the beginning of EXIF up to the next metadata.
fn exif_block(bytes: &[u8]) -> usize {
    let after = KEPT_BYTES + 1;
    let next = bytes.get(after..).and_then(beginning);
    next.map_or(bytes.len(), |next| after + next)
}
