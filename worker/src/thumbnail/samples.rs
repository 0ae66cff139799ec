//! Sample pictures for tests.

use std::io::Cursor;

use image::{
    DynamicImage, ImageEncoder, Rgb, RgbImage,
    codecs::{
        bmp::BmpEncoder, gif::GifEncoder, jpeg::JpegEncoder, png::PngEncoder, tiff::TiffEncoder,
        webp::WebPEncoder,
    },
};

use crate::{Format, probe::Orientation};

/// Red, green, blue and yellow corners (from the top left, clockwise), which show the orientation of a thumbnail.
pub(crate) fn corners(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| match (x < width / 2, y < height / 2) {
        (true, true) => Rgb([255, 0, 0]),
        (false, true) => Rgb([0, 255, 0]),
        (false, false) => Rgb([0, 0, 255]),
        (true, false) => Rgb([255, 255, 0]),
    })
}

/// The formats that an encoder at hand writes.
pub(crate) const WRITTEN: [Format; 6] =
    [Format::Jpeg, Format::Png, Format::Gif, Format::WebP, Format::Bmp, Format::Tiff];

/// A file of the format, with EXIF if the encoder supports it.
pub(crate) fn encode(format: Format, picture: &DynamicImage, exif: Option<Vec<u8>>) -> Vec<u8> {
    fn write(mut encoder: impl ImageEncoder, picture: &DynamicImage, exif: Option<Vec<u8>>) {
        if let Some(exif) = exif {
            encoder.set_exif_metadata(exif).unwrap();
        }
        picture.write_with_encoder(encoder).unwrap();
    }
    let mut file = Cursor::new(Vec::new());
    match format {
        Format::Jpeg => write(JpegEncoder::new_with_quality(&mut file, 95), picture, exif),
        Format::Png => write(PngEncoder::new(&mut file), picture, exif),
        Format::WebP => write(WebPEncoder::new_lossless(&mut file), picture, exif),
        Format::Bmp => write(BmpEncoder::new(file.get_mut()), picture, exif),
        Format::Tiff => write(TiffEncoder::new(&mut file), picture, exif),
        Format::Gif => {
            GifEncoder::new(&mut file).encode_frame(image::Frame::new(picture.to_rgba8())).unwrap()
        }
        Format::Heic | Format::Avif | Format::Unknown => panic!("no encoder makes it"),
    }
    file.into_inner()
}

/// A file with an ICC profile; JPEG or PNG.
pub(crate) fn encode_with_profile(format: Format, picture: &DynamicImage, profile: Vec<u8>) -> Vec<u8> {
    let mut file = Vec::new();
    if format == Format::Jpeg {
        let mut encoder = JpegEncoder::new_with_quality(&mut file, 95);
        encoder.set_icc_profile(profile).unwrap();
        picture.write_with_encoder(encoder).unwrap();
    } else {
        let mut encoder = PngEncoder::new(&mut file);
        encoder.set_icc_profile(profile).unwrap();
        picture.write_with_encoder(encoder).unwrap();
    }
    file
}

/// An EXIF block with the orientation only.
pub(crate) fn exif(orientation: Orientation) -> Vec<u8> {
    let mut block = b"MM\0\x2A\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    block.extend([orientation as u8, 0, 0, 0, 0, 0, 0]);
    block
}

/// A file with this orientation tag; JPEG, PNG, WebP or TIFF.
pub(crate) fn oriented(format: Format, picture: &RgbImage, orientation: Orientation) -> Vec<u8> {
    match format {
        Format::Tiff => tiff(picture, orientation),
        format => encode(format, &picture.clone().into(), Some(exif(orientation))),
    }
}

/// A JPEG with this sampling and this orientation tag.
#[cfg(feature = "turbojpeg")]
pub(crate) fn sampled(picture: &RgbImage, sampling: turbojpeg::Subsamp, orientation: Orientation) -> Vec<u8> {
    let image = turbojpeg::Image {
        pixels: picture.as_raw().as_slice(),
        width: picture.width() as usize,
        pitch: picture.width() as usize * 3,
        height: picture.height() as usize,
        format: turbojpeg::PixelFormat::RGB,
    };
    let file = turbojpeg::compress(image, 95, sampling).unwrap();
    // Directly after the start of the image; a segment's length includes itself.
    let mut segment = b"\xFF\xE1\0\x20Exif\0\0".to_vec();
    segment.extend(exif(orientation));
    segment[3] = u8::try_from(segment.len() - 2).unwrap();
    [&file[..2], &segment, &file[2..]].concat()
}

/// An uncompressed TIFF with its directory at the end.
pub(crate) fn tiff(picture: &RgbImage, orientation: Orientation) -> Vec<u8> {
    let pixels = picture.as_raw();
    let bits_at = 8 + u32::try_from(pixels.len()).unwrap();
    let mut file = b"II\x2A\0".to_vec();
    file.extend((bits_at + 6).to_le_bytes());
    file.extend(pixels);
    file.extend([8, 0, 8, 0, 8, 0]);
    let entries = [
        (256, 4, 1, picture.width()),
        (257, 4, 1, picture.height()),
        (258, 3, 3, bits_at),
        (259, 3, 1, 1),
        (262, 3, 1, 2),
        (273, 4, 1, 8),
        (274, 3, 1, orientation as u32),
        (277, 3, 1, 3),
        (278, 4, 1, picture.height()),
        (279, 4, 1, u32::try_from(pixels.len()).unwrap()),
    ];
    file.extend(u16::try_from(entries.len()).unwrap().to_le_bytes());
    for (tag, kind, count, value) in entries {
        file.extend(u16::to_le_bytes(tag));
        file.extend(u16::to_le_bytes(kind));
        file.extend(u32::to_le_bytes(count));
        file.extend(value.to_le_bytes());
    }
    file.extend([0; 4]);
    file
}
/// A picture like a photograph: gradients, soft edges, texture and sensor noise.
pub(crate) fn scenery(width: u32, height: u32) -> RgbImage {
    let wave = |along: u32, period: u32| {
        // A triangle of one period, 0 to 127.
        let step = along % period * 254 / period;
        step.min(254 - step)
    };
    RgbImage::from_fn(width, height, |x, y| {
        let texture = wave(x * 3 + y * 5, 61) / 8;
        let edge = (wave(x + y / 3, 180).saturating_sub(50) * 8).min(255) / 6;
        let grain = (x * 7919 + y * 104_729).wrapping_mul(2_654_435_761) >> 29;
        let byte = |value: u32| u8::try_from((value + grain).min(255)).unwrap();
        Rgb([
            byte(wave(x + y, 400) + texture + edge),
            byte(wave(x * 2 + y, 700) + texture),
            byte(wave(2 * y + 900 - x % 900, 500) + texture + edge * 2),
        ])
    })
}
