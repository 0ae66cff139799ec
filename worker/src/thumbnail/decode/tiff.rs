//! Decodes TIFF with a reader of its own.
//!
//! TIFF is a container: what differs between files is the arrangement of samples (strips or tiles, planes, bit order,
//! predictors, extra samples, depth, colour), and the compressions are few. `image`'s `tiff` crate knows too few of the
//! arrangements and shows some of them wrongly; libtiff would be a C library of the system, with its history of memory
//! faults, and only its RGBA interface covers most of them, at 8 bits and without profiles. So the arrangement is read
//! here, and every compression but the simplest is left to a kept library.
//!
//! A strip or tile is decompressed, its rows become samples of 16 bits, and these become pixels. Memory is that of the
//! pixels at 8 bits a channel plus one strip or tile.

mod chunks;
mod codec;
mod demand;
mod fax;
mod jpeg;
mod lab;
mod rows;

use std::io::Cursor;

use self::{chunks::Chunks, rows::Rows};
use super::{Decoded, agree, zeroed};
use crate::{
    probe::{
        Header, Source,
        tiff::{Page, Tiff, tag},
    },
    thumbnail::{
        ThumbnailError,
        colour::{self, MAX_PROFILE_BYTES},
        picture::Picture,
        pixels::Pixels,
        scale::Window,
    },
};

pub(super) fn decode(original: &[u8], header: &Header) -> Result<Decoded, ThumbnailError> {
    let mut tiff = Tiff::open(Source::new(Cursor::new(original)))?;
    let (directory, _) = tiff.main_page()?;
    let page = Page::read(&mut tiff, &directory)?;
    let sides = (page.width, page.height);
    agree(header, sides)?;
    // An unreadable profile is ignored.
    let profile = tiff.bytes(&directory, tag::PROFILE, MAX_PROFILE_BYTES as u64).ok().flatten();
    let mut profile = profile.as_deref().and_then(colour::profile);
    let mut rows = Rows::new(&mut tiff, &directory, page, &mut profile)?;
    let chunks = Chunks::new(original, &mut tiff, &directory, page)?;

    let layout = rows.layout();
    let stride = page.width as usize * layout.channels();
    let mut bytes = zeroed(stride as u64 * u64::from(page.height))?;
    let mut shown = 0;
    for index in 0..chunks.count() {
        let chunk = chunks.chunk(index);
        let planes = chunks.decoded(&chunk, &rows)?;
        let (left, width) =
            (chunk.left as usize * layout.channels(), chunk.width as usize * layout.channels());
        for row in 0..chunk.height {
            let to = &mut bytes[(chunk.top + row) as usize * stride + left..][..width];
            if rows.convert(&planes, row, chunk.width, to) {
                shown += u64::from(chunk.width);
            } else {
                to.fill(u8::MAX);
            }
        }
    }
    let missing = u64::from(page.width) * u64::from(page.height) - shown;
    Ok(Decoded {
        picture: Picture::Pixels(Pixels { width: page.width, height: page.height, layout, bytes }),
        window: Window::from_corner((page.width.into(), page.height.into())),
        profile,
        is_cut_short: super::is_cut_short(missing, sides)?,
    })
}
