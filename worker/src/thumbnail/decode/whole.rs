//! Decodes any format at full size with `image`.

use std::io::Cursor;

use image::{ColorType, ImageDecoder, ImageFormat, ImageReader, Limits};

use super::{Decoded, agree, zeroed};
use crate::{
    Format,
    probe::Header,
    thumbnail::{
        ThumbnailError, colour,
        picture::Picture,
        pixels::{Layout, Pixels},
    },
};

/// Bytes that a decoder may allocate beside its output, if it counts at all. The memory limit of the process is the
/// real bound.
const DECODER_BYTES: u64 = 512 * 1024 * 1024;

pub(super) fn decode(original: &[u8], header: &Header) -> Result<Decoded, ThumbnailError> {
    let mut reader = ImageReader::with_format(Cursor::new(original), image_format(header.format)?);
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(DECODER_BYTES);
    reader.limits(limits);
    let mut decoder = reader.into_decoder()?;
    let (width, height) = decoder.dimensions();
    agree(header, (width, height))?;
    // An unreadable profile is ignored.
    let profile = decoder.icc_profile().ok().flatten().as_deref().and_then(colour::profile);
    let colour = decoder.color_type();
    let mut bytes = zeroed(decoder.total_bytes())?;
    decoder.read_image(&mut bytes)?;
    narrow(&mut bytes, colour);
    Ok(Decoded {
        picture: Picture::Pixels(Pixels { width, height, layout: layout(colour)?, bytes }),
        extent: (width.into(), height.into()),
        profile,
    })
}

fn image_format(format: Format) -> Result<ImageFormat, ThumbnailError> {
    Ok(match format {
        Format::Jpeg => ImageFormat::Jpeg,
        Format::Png => ImageFormat::Png,
        Format::Gif => ImageFormat::Gif,
        Format::WebP => ImageFormat::WebP,
        Format::Bmp => ImageFormat::Bmp,
        Format::Tiff => ImageFormat::Tiff,
        Format::Unknown => return Err(ThumbnailError::CannotBeDecoded("its format is not known".into())),
    })
}

fn layout(colour: ColorType) -> Result<Layout, ThumbnailError> {
    match colour {
        ColorType::L8 | ColorType::L16 => Ok(Layout::Grey),
        ColorType::La8 | ColorType::La16 => Ok(Layout::GreyAlpha),
        ColorType::Rgb8 | ColorType::Rgb16 | ColorType::Rgb32F => Ok(Layout::Rgb),
        ColorType::Rgba8 | ColorType::Rgba16 | ColorType::Rgba32F => Ok(Layout::Rgba),
        other => Err(ThumbnailError::CannotBeDecoded(format!("pixels of kind {other:?}"))),
    }
}

/// Converts 16-bit samples or 32-bit floats to 8 bits, in place, because a second buffer might not fit into memory.
fn narrow(bytes: &mut Vec<u8>, colour: ColorType) {
    match colour {
        ColorType::L16 | ColorType::La16 | ColorType::Rgb16 | ColorType::Rgba16 => {
            narrow_by::<2>(bytes, |sample| {
                let value = u32::from(u16::from_ne_bytes(sample));
                u8::try_from((value + 128) / 257).expect("65535 becomes 255")
            });
        }
        ColorType::Rgb32F | ColorType::Rgba32F => narrow_by::<4>(bytes, |sample| {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to a byte")]
            let value = (f32::from_ne_bytes(sample).clamp(0.0, 1.0) * 255.0).round() as u8;
            value
        }),
        _ => {}
    }
}

fn narrow_by<const WIDTH: usize>(bytes: &mut Vec<u8>, byte_of: impl Fn([u8; WIDTH]) -> u8) {
    let samples = bytes.len() / WIDTH;
    for index in 0..samples {
        let sample = bytes[index * WIDTH..][..WIDTH].try_into().expect("a whole sample");
        bytes[index] = byte_of(sample);
    }
    bytes.truncate(samples);
    bytes.shrink_to_fit();
}
