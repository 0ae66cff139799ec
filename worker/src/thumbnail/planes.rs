//! Pictures in YCbCr planes, as JPEG stores them. Scaling planes saves two colour conversions, and with 4:2:0 sampling
//! there are only a quarter as many colour samples as pixels.

use std::array;

use super::{
    ThumbnailError,
    pixels::{Layout, Pixels},
    scale::{Scaler, Window},
    turn,
};
use crate::probe::Orientation;

/// Pixels per colour sample of a thumbnail, across and down (4:2:0).
pub(super) const THUMBNAIL_SAMPLING: (u32, u32) = (2, 2);

/// A picture as JPEG stores it (JFIF 1.02): full range, with each colour sample in the middle of its pixels.
#[derive(Debug, Clone)]
pub(super) struct Planes {
    /// One sample a pixel (Y).
    pub(super) brightness: Pixels,
    /// Cb and Cr. If the dimensions are not a multiple of the sampling, the last samples extend beyond the picture.
    pub(super) colour: [Pixels; 2],
    /// Pixels per colour sample, across and down.
    pub(super) sampling: (u32, u32),
}

impl Planes {
    pub(super) const fn sides(&self) -> (u32, u32) {
        (self.brightness.width, self.brightness.height)
    }

    /// A smaller copy, in the sampling of thumbnails.
    pub(super) fn shrink_from(&self, scaler: &mut Scaler, sides: (u32, u32)) -> Result<Self, ThumbnailError> {
        let (width, height) = self.sides();
        self.upright(scaler, (width.into(), height.into()), sides, Orientation::Upright)
    }

    /// Scales the top left part of size `extent` to `sides` (as stored), in the sampling of thumbnails, and turns it
    /// upright. Colour samples are aligned to the top left corner of the upright picture.
    pub(super) fn upright(
        &self,
        scaler: &mut Scaler,
        extent: (f64, f64),
        sides: (u32, u32),
        orientation: Orientation,
    ) -> Result<Self, ThumbnailError> {
        let mut made = |plane: &Pixels, window, sides| -> Result<Pixels, ThumbnailError> {
            Ok(turn::upright(scaler.resize(plane, window, sides)?, orientation))
        };
        let brightness = made(&self.brightness, Window::from_corner(extent), sides)?;
        let (across, down) = THUMBNAIL_SAMPLING;
        let (left, width) =
            span(extent.0 / f64::from(self.sampling.0), sides.0, across, orientation.reverses_columns());
        let (top, height) =
            span(extent.1 / f64::from(self.sampling.1), sides.1, down, orientation.reverses_rows());
        let window = Window { left, top, width, height };
        let samples = (sides.0.div_ceil(across), sides.1.div_ceil(down));
        let mut sampled = |plane| match beyond(plane, window) {
            Some((plane, window)) => made(&plane, window, samples),
            None => made(plane, window, samples),
        };
        let [blue, red] = &self.colour;
        Ok(Self { brightness, colour: [sampled(blue)?, sampled(red)?], sampling: THUMBNAIL_SAMPLING })
    }

    /// Extends the brightness plane to the area of the colour samples: an encoder needs whole samples.
    #[cfg_attr(not(feature = "turbojpeg"), expect(dead_code, reason = "`image` encodes pixels"))]
    pub(super) fn whole(mut self) -> Self {
        let missing = |side: u32, each: u32| side.next_multiple_of(each) - side;
        let right = missing(self.brightness.width, self.sampling.0);
        let bottom = missing(self.brightness.height, self.sampling.1);
        if (right, bottom) != (0, 0) {
            self.brightness = bordered(&self.brightness, (0, right), (0, bottom));
        }
        self
    }

    /// The picture in RGB. Each pixel gets the colour of its sample, without interpolation, which is good enough for
    /// small pictures.
    pub(super) fn into_pixels(self) -> Pixels {
        let (width, height) = self.sides();
        let (across, down) = (self.sampling.0 as usize, self.sampling.1 as usize);
        let stride = self.colour[0].width as usize;
        let mut bytes = Vec::with_capacity(self.brightness.bytes.len() * 3);
        for (y, row) in self.brightness.bytes.chunks_exact(width as usize).enumerate() {
            let [blue, red] = self.colour.each_ref().map(|plane| &plane.bytes[y / down * stride..][..stride]);
            for ((pixels, blue), red) in row.chunks(across).zip(blue).zip(red) {
                bytes.extend(pixels.iter().flat_map(|brightness| rgb(*brightness, *blue, *red)));
            }
        }
        Pixels { width, height, layout: Layout::Rgb, bytes }
    }
}

/// The start and the length of all colour samples of a thumbnail on one axis, in samples of the source plane. The
/// thumbnail has `pixels` pixels with `each` pixels per sample, and the picture is `extent` long in the plane. The last
/// sample may extend beyond the picture; on a reversed axis that is the first stored one.
fn span(extent: f64, pixels: u32, each: u32, is_reversed: bool) -> (f64, f64) {
    let length = extent * f64::from(pixels.next_multiple_of(each)) / f64::from(pixels);
    (if is_reversed { extent - length } else { 0.0 }, length)
}

/// A plane that is extended by repeated edges to cover the window, and the window in it.
fn beyond(plane: &Pixels, window: Window) -> Option<(Pixels, Window)> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a window extends beyond the plane by at most its length"
    )]
    let whole = |samples: f64| samples.ceil().max(0.0) as u32;
    let (left, top) = (whole(-window.left), whole(-window.top));
    let right = whole(window.left + window.width - f64::from(plane.width));
    let bottom = whole(window.top + window.height - f64::from(plane.height));
    if [left, top, right, bottom] == [0; 4] {
        return None;
    }
    let window = Window { left: window.left + f64::from(left), top: window.top + f64::from(top), ..window };
    Some((bordered(plane, (left, right), (top, bottom)), window))
}

/// A plane with repeated edges: columns before and after, rows before and after.
fn bordered(plane: &Pixels, columns: (u32, u32), rows: (u32, u32)) -> Pixels {
    let (width, height) = (plane.width + columns.0 + columns.1, plane.height + rows.0 + rows.1);
    let mut bytes = Vec::with_capacity(width as usize * height as usize);
    let stored = plane.width as usize;
    for y in 0..height {
        let y = y.saturating_sub(rows.0).min(plane.height - 1) as usize;
        let row = &plane.bytes[y * stored..][..stored];
        bytes.extend(std::iter::repeat_n(row[0], columns.0 as usize));
        bytes.extend_from_slice(row);
        bytes.extend(std::iter::repeat_n(row[stored - 1], columns.1 as usize));
    }
    Pixels { width, height, layout: plane.layout, bytes }
}

/// A pixel in RGB, by the equations of JFIF 1.02, page 3, in steps of 1/65536.
fn rgb(brightness: u8, blue: u8, red: u8) -> [u8; 3] {
    const HALF: i32 = 1 << 15;
    let (blue, red) = (i32::from(blue) - 128, i32::from(red) - 128);
    let more = [91_881 * red, -22_554 * blue - 46_802 * red, 116_130 * blue];
    array::from_fn(|channel| {
        let value = i32::from(brightness) + ((more[channel] + HALF) >> 16);
        u8::try_from(value.clamp(0, 255)).expect("clamped to a byte")
    })
}
