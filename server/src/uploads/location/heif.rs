//! Metadata of HEIC and AVIF: items, which lie anywhere in the file, often before the boxes that tell where. So they are
//! found by how they begin, which compressed pixels do not by chance: eight bytes or more are the same.

use memchr::memmem;

use super::{After, Block, EXIF, MAX_BLOCK_BYTES, State, exif, names_gps};

/// How EXIF begins in an item: the distance of its TIFF header, which is zero where nothing lies between, and the header.
const BARE_EXIF: [&[u8]; 2] = [b"\0\0\0\0II*\0", b"\0\0\0\0MM\0*"];
const NAMED_EXIF: [&[u8]; 2] = [b"Exif\0\0II*\0", b"Exif\0\0MM\0*"];

/// Both ends of XMP.
const XMP: &[u8] = b"<x:xmpmeta";
const XMP_END: &[u8] = b"</x:xmpmeta>";

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
    while let Some(start) = beginning(rest) {
        rest = &mut rest[start..];
        let length = match memmem::find(rest, XMP_END) {
            Some(end) if rest.starts_with(XMP) => end + XMP_END.len(),
            _ => exif_block(rest),
        };
        edit(&mut rest[..length]);
        rest = &mut rest[length..];
    }
}

/// The first place at which metadata begins.
fn beginning(bytes: &[u8]) -> Option<usize> {
    let all = BARE_EXIF.iter().chain(&NAMED_EXIF).chain([&XMP]);
    all.filter_map(|beginning| memmem::find(bytes, beginning)).min()
}

/// The bytes from the beginning of EXIF up to the next metadata.
fn exif_block(bytes: &[u8]) -> usize {
    let after = KEPT_BYTES + 1;
    let next = bytes.get(after..).and_then(beginning);
    next.map_or(bytes.len(), |next| after + next)
}
