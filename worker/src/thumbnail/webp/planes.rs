//! WebP of planes. It stores planes as well, so nothing is converted to RGB and back; the crate `webp` takes only RGB.

#![expect(unsafe_code, reason = "saves a quarter of the time of a WebP, which the other thumbnails wait for")]

use std::{array, ffi::c_int, mem::MaybeUninit, slice};

use libwebp_sys::{
    WebPConfig, WebPEncode, WebPMemoryWrite, WebPMemoryWriter, WebPMemoryWriterClear, WebPMemoryWriterInit,
    WebPPicture,
};

use super::{OTHER_VERSION, Outcome, failure};
use crate::thumbnail::{
    ThumbnailError,
    pixels::{Layout, Pixels},
    planes::{Planes, THUMBNAIL_SAMPLING},
};

/// Steps of JPEG's values.
const WIDE: usize = 255;

/// Steps of WebP's values, which are those of television (ITU-R BT.601): brightness from 16 to 235, colour from 16 to 240.
const BRIGHTNESS: usize = 219;
const COLOUR: usize = 224;

/// WebP's value of black, and that of no colour.
const BLACK: usize = 16;
const NO_COLOUR: usize = 128;

/// Encodes planes.
pub(super) fn encode(planes: Planes, config: &WebPConfig) -> Outcome {
    let (width, height) = planes.sides();
    let Planes { brightness, colour, sampling } = planes;
    let (across, down) = THUMBNAIL_SAMPLING;
    let samples = (width.div_ceil(across), height.div_ceil(down));
    let fits = sampling == THUMBNAIL_SAMPLING
        && has_sides(&brightness, (width, height))
        && colour.iter().all(|plane| has_sides(plane, samples));
    if !fits {
        return Err(ThumbnailError::damaged("its planes do not fit together"));
    }
    let mut brightness = narrowed(brightness.bytes, BRIGHTNESS, BLACK * WIDE);
    let zero = NO_COLOUR * (WIDE - COLOUR);
    let [mut blue, mut red] = colour.map(|plane| narrowed(plane.bytes, COLOUR, zero));

    let side = |side: u32| c_int::try_from(side).map_err(ThumbnailError::damaged);
    let mut picture = WebPPicture::new().map_err(|()| ThumbnailError::damaged(OTHER_VERSION))?;
    picture.use_argb = 0;
    (picture.width, picture.height) = (side(width)?, side(height)?);
    (picture.y_stride, picture.uv_stride) = (side(width)?, side(samples.0)?);
    (picture.y, picture.u, picture.v) = (brightness.as_mut_ptr(), blue.as_mut_ptr(), red.as_mut_ptr());
    let mut file = MaybeUninit::<WebPMemoryWriter>::uninit();
    // SAFETY: this writes every field.
    let mut file = unsafe {
        WebPMemoryWriterInit(file.as_mut_ptr());
        file.assume_init()
    };
    picture.writer = Some(WebPMemoryWrite);
    picture.custom_ptr = (&raw mut file).cast();
    // SAFETY: the planes have the sides that were checked above, and nothing else uses them or the writer meanwhile.
    let is_done = unsafe { WebPEncode(config, &raw mut picture) } != 0;
    let bytes = if is_done && !file.mem.is_null() {
        // SAFETY: the writer owns this many bytes there.
        unsafe { slice::from_raw_parts(file.mem, file.size) }.to_vec()
    } else {
        Vec::new()
    };
    // SAFETY: the writer was initialized, and nothing refers to its bytes any more.
    unsafe { WebPMemoryWriterClear(&raw mut file) };
    if is_done { Ok(bytes) } else { Err(failure(picture.error_code)) }
}

/// Whether a plane has these sides, and a byte a sample.
fn has_sides(plane: &Pixels, (width, height): (u32, u32)) -> bool {
    (plane.layout, plane.width, plane.height) == (Layout::Grey, width, height)
        && plane.bytes.len() as u64 == u64::from(width) * u64::from(height)
}

/// A plane in WebP's values: `steps` of them, and zero becomes `zero` of 255.
fn narrowed(mut plane: Vec<u8>, steps: usize, zero: usize) -> Vec<u8> {
    let table: [u8; WIDE + 1] = array::from_fn(|value| {
        let rounded = (value * steps + zero + WIDE / 2) / WIDE;
        u8::try_from(rounded).expect("there are fewer steps than values")
    });
    plane.iter_mut().for_each(|sample| *sample = table[usize::from(*sample)]);
    plane
}

#[cfg(test)]
mod tests {
    use image::ImageFormat;

    use super::*;
    use crate::thumbnail::webp::config;

    fn plane(width: u32, height: u32, value: impl Fn(u32, u32) -> u32) -> Pixels {
        let places = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
        let bytes = places.map(|(x, y)| u8::try_from(value(x, y)).unwrap()).collect();
        Pixels { width, height, layout: Layout::Grey, bytes }
    }

    fn planes(width: u32, height: u32) -> Planes {
        let (across, down) = (width.div_ceil(2), height.div_ceil(2));
        let colour = [
            plane(across, down, |x, y| 128 + x * 60 / across - y * 60 / down),
            plane(across, down, |x, y| 70 + x * 50 / across + y * 60 / down),
        ];
        let brightness = plane(width, height, |x, y| (x * 150 / width + y * 100 / height).min(255));
        Planes { brightness, colour, sampling: THUMBNAIL_SAMPLING }
    }

    #[test]
    fn planes_have_the_colours_of_their_pixels() {
        let config = config().unwrap();
        for (width, height) in [(96, 64), (61, 37), (1, 1), (2, 33)] {
            let file = encode(planes(width, height), &config).unwrap();
            let found = image::load_from_memory_with_format(&file, ImageFormat::WebP).unwrap().to_rgb8();
            assert_eq!(found.dimensions(), (width, height));
            let expected = planes(width, height).into_pixels().bytes;
            let error: u64 = found.iter().zip(&expected).map(|(a, b)| u64::from(a.abs_diff(*b)).pow(2)).sum();
            let error = error as f64 / expected.len() as f64;
            // 36 dB: some 13 are lost by the quality; other ranges or exchanged colours would lose hundreds.
            assert!(error < 16.0, "{width}×{height}: {error}");
        }
    }

    #[test]
    fn black_and_white_stay() {
        for value in [0, 255] {
            let grey = plane(16, 16, |_, _| 128);
            let planes = Planes {
                brightness: plane(32, 32, |_, _| value),
                colour: [grey.clone(), grey],
                sampling: THUMBNAIL_SAMPLING,
            };
            let file = encode(planes, &config().unwrap()).unwrap();
            let found = image::load_from_memory_with_format(&file, ImageFormat::WebP).unwrap().to_rgb8();
            assert!(found.iter().all(|sample| u32::from(*sample).abs_diff(value) < 2), "{value}");
        }
    }

    #[test]
    fn planes_that_are_too_short_are_refused() {
        let config = config().unwrap();
        let whole = planes(64, 48);
        let mut short = whole.clone();
        short.brightness.bytes.pop();
        encode(short, &config).unwrap_err();
        let mut short = whole.clone();
        short.colour[1].bytes.pop();
        encode(short, &config).unwrap_err();
        let mut small = whole.clone();
        small.colour[0] = plane(31, 24, |_, _| 128);
        encode(small, &config).unwrap_err();
        encode(Planes { sampling: (1, 1), ..whole }, &config).unwrap_err();
    }
}
