//! The picture of a file, shrunk.

use heifer_isobmff::{
    HeifFile,
    boxes::{ColorInfo, Property},
};

use crate::{
    Error,
    canvas::{self, Canvas},
    container::{self, Boxes, Composition, Container, Scene, area},
    frame::{Shrunk, Signal},
    hdr, matrix,
    tiles::Tiles,
};

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
/// stay. `max_pixels` bounds the picture as stored, before it is cropped, and its alpha channel.
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
    if scene.composition == Composition::Derived {
        return derived(whole, &container, &scene, max_pixels);
    }
    let part = scene.turning.part;
    let tiles = Tiles::of(&container, &file, scene.id, scene.stored)?;
    let factor = canvas::factor((part.width, part.height), least);
    let canvas = tiles.decode(&container, &file, scene.stored, factor)?;
    let (stated, profile) = stated_colours(&container, &scene, &tiles)?;
    let signal = signal(canvas.shape()?.signal, stated);
    let alpha = match container.alpha(scene.id)? {
        Some((id, is_multiplied)) => {
            Some((alpha(&container, &file, id, &scene, factor, max_pixels)?, is_multiplied))
        }
        None => None,
    };
    let is_hdr = matches!(signal.transfer, hdr::PQ | hdr::HLG);
    let has_colour = canvas.sampling().is_some();
    let mut pixels = pixels(&canvas, signal, is_hdr)?;
    let (mut width, mut height) = (canvas.brightness.width, canvas.brightness.height);
    let has_alpha = alpha.is_some();
    if let Some((alpha, is_multiplied)) = alpha {
        let sides = (width, height);
        pixels = if has_colour {
            with_alpha::<3>(&pixels, sides, &alpha, is_multiplied)?
        } else {
            with_alpha::<1>(&pixels, sides, &alpha, is_multiplied)?
        };
    }
    // A crop that begins within a square of pixels has a part of the square's average; the rest is left to the caller.
    let first = (part.left / factor, part.top / factor);
    let sides = (
        (part.left + part.width).div_ceil(factor) - first.0,
        (part.top + part.height).div_ceil(factor) - first.1,
    );
    if first != (0, 0) || sides != (width, height) {
        pixels = cropped(&pixels, width, channels(has_colour, has_alpha), first, sides);
        (width, height) = sides;
    }
    let colour = match profile {
        _ if is_hdr => Colour::Srgb,
        Some(profile) => Colour::Icc(profile),
        None => coded(signal),
    };
    let shrunk = |pixels: u32| f64::from(pixels) / f64::from(factor);
    let orientation = scene.turning.exif_orientation();
    Ok(Picture {
        width,
        height,
        pixels,
        has_colour,
        has_alpha,
        sides: (part.width, part.height),
        corner: (shrunk(part.left % factor), shrunk(part.top % factor)),
        extent: (shrunk(part.width), shrunk(part.height)),
        colour,
        orientation,
    })
}

/// The colours that the boxes name: code points and a profile. A grid may leave it to its tiles.
fn stated_colours(
    container: &Container,
    scene: &Scene,
    tiles: &Tiles,
) -> Result<(Option<Signal>, Option<Vec<u8>>), Error> {
    let (mut signal, mut profile) = (None, None);
    for id in [scene.id].into_iter().chain(tiles.ids.first().copied()) {
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
fn coded(signal: Signal) -> Colour {
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
        let mut light = Vec::new();
        light.try_reserve_exact(pixels * 3).map_err(|_| Error::NeedsTooMuchMemory)?;
        matrix::for_each_rgb(canvas, signal, |rgb| light.extend(rgb))?;
        hdr::to_srgb(&mut light, signal.primaries, signal.transfer);
        light.as_chunks().0.iter().copied().for_each(add);
    } else {
        matrix::for_each_rgb(canvas, signal, &mut add)?;
    }
    Ok(bytes)
}

fn byte(value: f32) -> u8 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to a byte")]
    let byte = (value * 255.0).round().clamp(0.0, 255.0) as u8;
    byte
}

fn reserved(length: usize) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(length).map_err(|_| Error::NeedsTooMuchMemory)?;
    Ok(bytes)
}

/// The alpha channel of a picture.
struct Alpha {
    plane: Shrunk,
    black: f32,
    range: f32,
}

fn alpha(
    container: &Container,
    file: &HeifFile<'_>,
    id: u32,
    scene: &Scene,
    factor: u32,
    max_pixels: u64,
) -> Result<Alpha, Error> {
    let stored = container.sides(id).unwrap_or(scene.stored);
    if area(stored) > max_pixels {
        return Err(Error::TooMany("pixels in its alpha channel"));
    }
    let tiles = Tiles::of(container, file, id, stored)?;
    // One of another size keeps as many samples as the shrunk picture, without the margin.
    let shrunk = (scene.stored.0.div_ceil(factor), scene.stored.1.div_ceil(factor));
    let factor = if stored == scene.stored { factor } else { canvas::factor(stored, shrunk) };
    let canvas = tiles.decode(container, file, stored, factor)?;
    let shape = canvas.shape()?;
    let most = f32::from((1_u16 << shape.bits) - 1);
    let step = f32::from(1_u16 << (shape.bits - 8));
    let (black, range) = if shape.signal.full_range { (0.0, most) } else { (16.0 * step, 219.0 * step) };
    Ok(Alpha { plane: canvas.brightness, black, range })
}

/// The pixels of so many colours with an alpha channel, which may be of another size.
fn with_alpha<const COLOURS: usize>(
    pixels: &[u8],
    (width, height): (u32, u32),
    alpha: &Alpha,
    is_multiplied: bool,
) -> Result<Vec<u8>, Error> {
    let mut bytes = reserved(pixels.len() / COLOURS * (COLOURS + 1))?;
    let plane = &alpha.plane;
    let at = |place: u32, of: u32, samples: u32| {
        usize::try_from(u64::from(place) * u64::from(samples) / u64::from(of)).unwrap_or(0)
    };
    for (pixels, y) in pixels.chunks_exact(width as usize * COLOURS).zip(0..height) {
        let row =
            &plane.samples[at(y, height, plane.height) * plane.width as usize..][..plane.width as usize];
        for (pixel, x) in pixels.as_chunks::<COLOURS>().0.iter().zip(0..width) {
            let alpha = byte((f32::from(row[at(x, width, plane.width)]) - alpha.black) / alpha.range);
            let divided = |light: &u8| match alpha {
                0 => 0,
                alpha => {
                    u8::try_from((u32::from(*light) * 255 / u32::from(alpha)).min(255)).unwrap_or(u8::MAX)
                }
            };
            bytes.extend(if is_multiplied { pixel.each_ref().map(divided) } else { *pixel });
            bytes.push(alpha);
        }
    }
    Ok(bytes)
}

fn cropped(pixels: &[u8], width: u32, channels: usize, corner: (u32, u32), sides: (u32, u32)) -> Vec<u8> {
    let stride = width as usize * channels;
    pixels
        .chunks_exact(stride)
        .skip(corner.1 as usize)
        .take(sides.1 as usize)
        .flat_map(|row| &row[corner.0 as usize * channels..][..sides.0 as usize * channels])
        .copied()
        .collect()
}

/// An overlay or another view of a picture, decoded whole. Such files are rare and small.
#[cfg(feature = "heic")]
fn derived(bytes: &[u8], container: &Container, scene: &Scene, max_pixels: u64) -> Result<Picture, Error> {
    /// Pictures that one may be made of, other than by a grid. Real ones have two or three.
    const MAX_LAYERS: usize = 16;
    let layers = container.references(scene.id, b"dimg");
    if layers.len() > MAX_LAYERS {
        return Err(Error::TooMany("layers"));
    }
    let mut sum = 0_u64;
    for layer in layers {
        sum = sum.saturating_add(area(container.sides(*layer)?));
    }
    if sum > max_pixels {
        return Err(Error::TooMany("pixels in its layers"));
    }
    // One thread: the sandbox has no other.
    let options = heifer::Options { max_threads: 1, max_pixels };
    let image = heifer::decode_rgba8(bytes, &options).map_err(Error::damaged)?;
    if (image.width, image.height) != scene.turning.displayed() {
        return Err(Error::damaged("header and picture disagree on the size"));
    }
    let has_colour =
        image.data.as_chunks().0.iter().any(|[red, green, blue, _]| red != green || green != blue);
    let has_alpha = image.has_alpha;
    let (width, height) = (image.width, image.height);
    let pixels = match (has_colour, has_alpha) {
        (true, true) => image.data,
        (true, false) => image.into_rgb8(),
        // An overlay of pictures without colours may have a profile for grey.
        (false, true) => {
            image.data.as_chunks().0.iter().flat_map(|[grey, _, _, alpha]| [*grey, *alpha]).collect()
        }
        (false, false) => image.data.into_iter().step_by(4).collect(),
    };
    let colour = stated_colours(container, scene, &Tiles { ids: layers.to_vec(), columns: 1, side: (1, 1) })?;
    Ok(Picture {
        width,
        height,
        sides: (width, height),
        corner: (0.0, 0.0),
        extent: (width.into(), height.into()),
        has_colour,
        has_alpha,
        pixels,
        colour: match colour {
            (_, Some(profile)) => Colour::Icc(profile),
            (Some(signal), None) => coded(signal),
            (None, None) => Colour::Srgb,
        },
        // It was turned by the library.
        orientation: 1,
    })
}

#[cfg(not(feature = "heic"))]
fn derived(_: &[u8], _: &Container, _: &Scene, _: u64) -> Result<Picture, Error> {
    Err(crate::Unsupported::Heic.into())
}
