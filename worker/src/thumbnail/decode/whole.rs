//! Decodes any format at full size with `image`.

use std::{borrow::Cow, io::Cursor};

use image::{ColorType, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits};

use super::{DECODER_BYTES, Decoded, agree, bmp, is_cut_short, png, zeroed};
use crate::{
    Format,
    probe::{Header, UnsupportedKind},
    thumbnail::{
        ThumbnailError,
        colour::{self, Narrowing},
        picture::Picture,
        pixels::{Layout, Pixels},
        scale::Window,
    },
};

/// The place of the two sides in the logical screen of a GIF.
const GIF_SIDES: std::ops::Range<usize> = 6..10;

pub(super) fn decode(original: &[u8], header: &Header) -> Result<Decoded, ThumbnailError> {
    let (mut file, mut is_upside_down) = (Cow::Borrowed(original), false);
    match header.format {
        Format::Bmp => {
            let ordinary = bmp::ordinary(original)?;
            (file, is_upside_down) = (ordinary.file, ordinary.is_upside_down);
        }
        Format::Gif => file = with_screen(original, header.stored()),
        _ => {}
    }
    let mut decoder = opened(&file, header)?;
    let (width, height) = decoder.dimensions();
    agree(header, (width, height))?;
    let colour = decoder.color_type();
    // An unreadable profile is ignored.
    let embedded = decoder.icc_profile().ok().flatten();
    let mut profile = match header.format {
        Format::Png => png::profile(original, embedded.as_deref()),
        _ => embedded.as_deref().and_then(colour::profile),
    };
    let mut bytes = zeroed(decoder.total_bytes())?;
    let missing = match decoder.read_image(&mut bytes) {
        Ok(()) => 0,
        Err(error) => salvage(&mut bytes, &file, header, colour, error)?,
    };
    let is_cut_short = is_cut_short(missing, (width, height))?;
    let mut narrowing = Narrowing::new(layout(colour)?, &mut profile, is_deep(colour));
    if is_deep(colour) {
        bytes = narrowed(bytes, (width, height), colour, &mut narrowing)?;
    }
    if is_upside_down {
        let stride = bytes.len() / height as usize;
        bytes = bytes.chunks_exact(stride).rev().flatten().copied().collect();
    }
    Ok(Decoded {
        picture: Picture::Pixels(Pixels { width, height, layout: narrowing.layout(), bytes }),
        window: Window::from_corner((width.into(), height.into())),
        profile,
        is_cut_short,
    })
}

fn opened<'a>(file: &'a [u8], header: &Header) -> Result<impl ImageDecoder + 'a, ThumbnailError> {
    let mut reader = ImageReader::with_format(Cursor::new(file), image_format(header.format)?);
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(DECODER_BYTES);
    reader.limits(limits);
    Ok(reader.into_decoder()?)
}

/// A GIF whose logical screen has a side of zero, with the sides of its first frame.
fn with_screen(original: &[u8], (width, height): (u32, u32)) -> Cow<'_, [u8]> {
    let side = |side: u32| u16::try_from(side).unwrap_or(u16::MAX).to_le_bytes();
    let ([w0, w1], [h0, h1]) = (side(width), side(height));
    let sides = [w0, w1, h0, h1];
    match original.get(GIF_SIDES) {
        Some(stored) if stored != sides => {
            let mut file = original.to_vec();
            file[GIF_SIDES].copy_from_slice(&sides);
            Cow::Owned(file)
        }
        _ => Cow::Borrowed(original),
    }
}

/// Finds the pixels that were decoded before an error, and makes the others white. Returns the number of the others.
///
/// No decoder tells how far it came, so the file is decoded again into a buffer with other bytes: pixels that are equal in
/// both were decoded.
fn salvage(
    bytes: &mut [u8],
    file: &[u8],
    header: &Header,
    colour: ColorType,
    error: ImageError,
) -> Result<u64, ThumbnailError> {
    // A JPEG decoder fills what is missing by itself, and one of WebP has a buffer of its own.
    if matches!(error, ImageError::Limits(_) | ImageError::Unsupported(_)) || header.format == Format::Jpeg {
        return Err(error.into());
    }
    // Where there is no memory for this, the file counts as what it is.
    let Ok(mut again) = zeroed(bytes.len() as u64) else { return Err(error.into()) };
    again.fill(u8::MAX);
    if opened(file, header)?.read_image(&mut again).is_ok() {
        return Err(error.into());
    }
    let width = usize::from(colour.bytes_per_pixel());
    let stride = header.stored().0 as usize * width;
    let mut missing = 0;
    for at in (0..bytes.len()).step_by(width) {
        if bytes[at..at + width] == again[at..at + width] {
            if header.format == Format::Png && is_deep(colour) {
                bytes[at..at + width].as_chunks_mut::<2>().0.iter_mut().for_each(|sample| {
                    *sample = u16::from_be_bytes(*sample).to_ne_bytes();
                });
            }
            continue;
        }
        missing += 1;
        // Of an interlaced picture every second row may be missing: it gets the row above.
        let is_above = at >= stride && again[at - stride..][..width] == bytes[at - stride..][..width];
        if is_above {
            bytes.copy_within(at - stride..at - stride + width, at);
        } else {
            bytes[at..at + width].fill(u8::MAX);
        }
    }
    if missing == bytes.len() as u64 / width as u64 { Err(error.into()) } else { Ok(missing) }
}

fn image_format(format: Format) -> Result<ImageFormat, ThumbnailError> {
    Ok(match format {
        Format::Jpeg => ImageFormat::Jpeg,
        Format::Png => ImageFormat::Png,
        Format::Gif => ImageFormat::Gif,
        Format::WebP => ImageFormat::WebP,
        Format::Bmp => ImageFormat::Bmp,
        Format::Tiff | Format::Heic | Format::Avif | Format::Unknown => {
            return Err(ThumbnailError::CannotBeDecoded("its format is not known".into()));
        }
    })
}

fn layout(colour: ColorType) -> Result<Layout, ThumbnailError> {
    match colour {
        ColorType::L8 | ColorType::L16 => Ok(Layout::Grey),
        ColorType::La8 | ColorType::La16 => Ok(Layout::GreyAlpha),
        ColorType::Rgb8 | ColorType::Rgb16 => Ok(Layout::Rgb),
        ColorType::Rgba8 | ColorType::Rgba16 => Ok(Layout::Rgba),
        _ => Err(UnsupportedKind::Other.into()),
    }
}

fn is_deep(colour: ColorType) -> bool {
    usize::from(colour.bytes_per_pixel()) == 2 * usize::from(colour.channel_count())
}

/// The pixels at 8 bits a channel, in the same buffer, because a second one might not fit into memory.
fn narrowed(
    mut bytes: Vec<u8>,
    (width, height): (u32, u32),
    colour: ColorType,
    narrowing: &mut Narrowing,
) -> Result<Vec<u8>, ThumbnailError> {
    let stride = width as usize * usize::from(colour.bytes_per_pixel());
    let narrow_stride = width as usize * narrowing.layout().channels();
    let (mut wide, mut narrow) = (Vec::with_capacity(stride / 2), vec![0; narrow_stride]);
    // Grey with a tint becomes longer.
    let mut longer =
        if narrow_stride > stride { Some(zeroed(narrow_stride as u64 * u64::from(height))?) } else { None };
    for row in 0..height as usize {
        wide.clear();
        wide.extend(
            bytes[row * stride..][..stride].as_chunks().0.iter().map(|sample| u16::from_ne_bytes(*sample)),
        );
        narrowing.row(&wide, &mut narrow);
        longer.as_mut().unwrap_or(&mut bytes)[row * narrow_stride..][..narrow_stride]
            .copy_from_slice(&narrow);
    }
    let mut bytes = longer.unwrap_or(bytes);
    bytes.truncate(narrow_stride * height as usize);
    bytes.shrink_to_fit();
    Ok(bytes)
}
