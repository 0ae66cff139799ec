//! The picture of a file, shrunk.

use heifer_isobmff::{
    HeifFile,
    boxes::{ColorInfo, Property},
};

pub(crate) use self::channels::Pixels;
use self::channels::{Alpha, Stretch};
use crate::{
    Error,
    canvas::{self, Canvas},
    container::{self, Boxes, Composition, Container, Scene, area},
    frame::Signal,
    hdr, matrix, overlay,
    tiles::Tiles,
    turning::{Rectangle, Turning},
};

mod channels;

/// A decoded picture, in 8 bits a channel, as stored: neither turned nor mirrored, but cropped.
#[derive(Debug)]
pub struct Picture {
    /// Width of the buffer in pixels.
    pub width: u32,
    /// Height of the buffer in pixels.
    pub height: u32,
    /// Red, green and blue, or grey if not `has_colour`; then alpha if `has_alpha`. Rows have no padding. Colours are not
    /// multiplied by alpha.
    pub pixels: Vec<u8>,
    /// Whether pixels have red, green and blue.
    pub has_colour: bool,
    /// Whether there is an alpha channel.
    pub has_alpha: bool,
    /// Width and height of the picture in pixels, as stored and cropped, before it was shrunk.
    pub sides: (u32, u32),
    /// The left and top end of the picture in the buffer, in pixels: less than one. A crop may begin within a pixel of the
    /// shrunk picture.
    pub corner: (f64, f64),
    /// The part of the buffer that the picture covers, from its corner, in pixels.
    pub extent: (f64, f64),
    /// The meaning of red, green and blue, or of grey.
    pub colour: Colour,
    /// The value of EXIF tag 274 that turns it for display.
    pub orientation: u8,
}

impl Picture {
    /// Bytes of a pixel.
    #[must_use]
    pub const fn channels(&self) -> usize {
        channels(self.has_colour, self.has_alpha)
    }
}

const fn channels(has_colour: bool, has_alpha: bool) -> usize {
    (if has_colour { 3 } else { 1 }) + (if has_alpha { 1 } else { 0 })
}

/// The meaning of red, green and blue, or of grey.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Colour {
    /// As in sRGB.
    Srgb,
    /// As in an ICC profile.
    Icc(Vec<u8>),
    /// As in a `ColourPrimaries` and a `TransferCharacteristics` of ITU-T H.273.
    Coded(u16, u16),
}

/// Decodes the picture of a file. It is shrunk if at least `least` (width and height as stored and cropped) and a margin
/// stay. `max_pixels` bounds the picture as stored, before it is cropped, with its layers; and its alpha channel.
///
/// # Errors
/// See [`Error`].
pub fn decode(bytes: &[u8], least: (u32, u32), max_pixels: u64) -> Result<Picture, Error> {
    let Boxes { meta, whole } = container::boxes_of(bytes)?;
    let container = Container::parse(meta)?;
    let scene = container.scene()?;
    if area(scene.stored) > max_pixels {
        return Err(Error::TooMany("pixels"));
    }
    // After `Container::parse`, whose bounds hold for it as well, also those of `iloc`: it sees the same description and
    // no other.
    let file = HeifFile::parse(whole)?;
    Source { container: &container, file: &file, max_pixels }.picture(&scene, least, &[])
}

/// A file whose pictures are decoded.
#[derive(Clone, Copy)]
pub(crate) struct Source<'a> {
    pub(crate) container: &'a Container,
    pub(crate) file: &'a HeifFile<'a>,
    max_pixels: u64,
}

impl Source<'_> {
    /// Decodes a picture, shrunk as in [`decode`], and crops it. If it has no colours of its own, it has those of the
    /// items `within` which it is a layer.
    pub(crate) fn picture(self, scene: &Scene, least: (u32, u32), within: &[u32]) -> Result<Picture, Error> {
        if scene.pixels > self.max_pixels {
            return Err(Error::TooMany("pixels"));
        }
        let part = scene.turning.part;
        let factor = canvas::factor((part.width, part.height), least);
        let window = canvas::window(part, scene.stored, factor);
        let (mut pixels, colour) = match scene.composition {
            Composition::Overlay => overlay::decode(self, scene, window, factor)?,
            Composition::Coded | Composition::Grid => self.tiles(scene, window, factor, within)?,
        };
        if let Some((id, is_multiplied)) = self.container.alpha(scene)? {
            pixels = pixels.with_alpha(&self.alpha(id, scene, window, factor)?, is_multiplied)?;
        }
        // A crop that begins within a square of pixels has a part of the square's average; the rest is left to the caller.
        let first = (part.left / factor, part.top / factor);
        let sides = (part.end().0.div_ceil(factor) - first.0, part.end().1.div_ceil(factor) - first.1);
        let corner = (first.0 - window.left / factor, first.1 - window.top / factor);
        let Pixels { width, height, has_colour, has_alpha, bytes } = pixels.cropped(corner, sides);
        let shrunk = |pixels: u32| f64::from(pixels) / f64::from(factor);
        Ok(Picture {
            width,
            height,
            pixels: bytes,
            has_colour,
            has_alpha,
            sides: (part.width, part.height),
            corner: (shrunk(part.left % factor), shrunk(part.top % factor)),
            extent: (shrunk(part.width), shrunk(part.height)),
            colour,
            orientation: scene.turning.exif_orientation(),
        })
    }

    /// The pixels of a coded picture or of a grid.
    fn tiles(
        self,
        scene: &Scene,
        window: Rectangle,
        factor: u32,
        within: &[u32],
    ) -> Result<(Pixels, Colour), Error> {
        let Self { container, file, .. } = self;
        let tiles = Tiles::of(container, file, scene.id, scene.stored)?;
        let canvas = tiles.decode(container, file, window, factor)?;
        let first = tiles.ids.first();
        let (stated, profile) =
            stated_colours(container, scene.views.iter().chain(first).chain(within).copied())?;
        let signal = signal(canvas.shape()?.signal, stated);
        let is_hdr = hdr::is_hdr(signal);
        let colour = match profile {
            _ if is_hdr => Colour::Srgb,
            Some(profile) => Colour::Icc(profile),
            None => coded(signal),
        };
        let pixels = Pixels {
            width: canvas.brightness.width,
            height: canvas.brightness.height,
            has_colour: canvas.sampling().is_some(),
            has_alpha: false,
            bytes: pixels(&canvas, signal, is_hdr)?,
        };
        Ok((pixels, colour))
    }

    fn alpha(self, id: u32, scene: &Scene, window: Rectangle, factor: u32) -> Result<Alpha, Error> {
        let Self { container, file, max_pixels } = self;
        let stored = container.sides(id).unwrap_or(scene.stored);
        if area(stored) > max_pixels {
            return Err(Error::TooMany("pixels in its alpha channel"));
        }
        let tiles = Tiles::of(container, file, id, stored)?;
        let shrunk = (scene.stored.0.div_ceil(factor), scene.stored.1.div_ceil(factor));
        if stored == scene.stored {
            let canvas = tiles.decode(container, file, window, factor)?;
            let place =
                Stretch { corner: (0, 0), whole: (canvas.brightness.width, canvas.brightness.height) };
            return Alpha::new(canvas, place);
        }
        // One of another size keeps as many samples as the shrunk picture, without the margin.
        let corner = (window.left / factor, window.top / factor);
        let factor = canvas::factor(stored, shrunk);
        let canvas = tiles.decode(container, file, Turning::none(stored).part, factor)?;
        Alpha::new(canvas, Stretch { corner, whole: shrunk })
    }
}

/// The colours that the boxes of items name, the first one that does: code points and a profile. A grid may leave it to its
/// tiles.
pub(crate) fn stated_colours(
    container: &Container,
    items: impl Iterator<Item = u32>,
) -> Result<(Option<Signal>, Option<Vec<u8>>), Error> {
    let (mut signal, mut profile) = (None, None);
    for id in items {
        for (property, _) in container.properties(id)? {
            match property {
                Property::Color(ColorInfo::Icc(bytes)) if profile.is_none() => profile = Some(bytes.clone()),
                Property::Color(ColorInfo::Nclx { primaries, transfer, matrix, full_range })
                    if signal.is_none() =>
                {
                    let (primaries, transfer, matrix) = (*primaries, *transfer, *matrix);
                    signal = Some(Signal { primaries, transfer, matrix, full_range: *full_range });
                }
                _ => {}
            }
        }
    }
    Ok((signal, profile))
}

/// The boxes come before the coded picture; what both leave open is as browsers guess it.
fn signal(coded: Signal, stated: Option<Signal>) -> Signal {
    let mut signal = stated.unwrap_or(coded);
    let known = |code: u16, otherwise: u16| if code == 2 { otherwise } else { code };
    signal.primaries = known(signal.primaries, coded.primaries);
    signal.transfer = known(signal.transfer, coded.transfer);
    signal.matrix = known(signal.matrix, coded.matrix);
    signal
}

/// The code points of a picture of standard range, if they differ from sRGB.
pub(crate) fn coded(signal: Signal) -> Colour {
    // Browsers show the curves of BT.709, BT.601 and BT.2020 as that of sRGB.
    let transfer = match signal.transfer {
        0 | 1 | 2 | 3 | 6 | 13 | 14 | 15 => 13,
        other => other,
    };
    match (signal.primaries, transfer) {
        (0..=2 | 5 | 6, 13) => Colour::Srgb,
        (primaries, transfer) => Colour::Coded(primaries, transfer),
    }
}

/// The pixels of a canvas: red, green and blue, or grey.
fn pixels(canvas: &Canvas, signal: Signal, is_hdr: bool) -> Result<Vec<u8>, Error> {
    let pixels = canvas.brightness.samples.len();
    let kept = if canvas.sampling().is_some() { 3 } else { 1 };
    let mut bytes = reserved(pixels * kept)?;
    let mut add = |rgb: [f32; 3]| bytes.extend(rgb[..kept].iter().copied().map(byte));
    if is_hdr {
        let mut light = reserved(pixels * 3)?;
        matrix::for_each_rgb(canvas, signal, |rgb| light.extend(rgb))?;
        hdr::to_srgb(&mut light, signal.primaries, signal.transfer);
        light.as_chunks().0.iter().copied().for_each(add);
    } else {
        matrix::for_each_rgb(canvas, signal, &mut add)?;
    }
    Ok(bytes)
}

pub(crate) fn byte(value: f32) -> u8 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to a byte")]
    let byte = (value * 255.0).round().clamp(0.0, 255.0) as u8;
    byte
}

/// An empty list with room for so many parts.
pub(crate) fn reserved<T>(length: usize) -> Result<Vec<T>, Error> {
    let mut list = Vec::new();
    list.try_reserve_exact(length).map_err(|_| Error::NeedsTooMuchMemory)?;
    Ok(list)
}
