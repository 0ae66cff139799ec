//! Pixels of 8 bits a channel, and what becomes of them after their colours are known.

use super::{byte, channels, reserved};
use crate::{Error, canvas::Canvas, frame::Shrunk};

/// Rows of pixels without padding. Colours are not multiplied by alpha.
pub(crate) struct Pixels {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) has_colour: bool,
    pub(crate) has_alpha: bool,
    pub(crate) bytes: Vec<u8>,
}

/// The alpha channel of a picture.
pub(super) struct Alpha {
    plane: Shrunk,
    stretch: Stretch,
    /// The sample of a clear pixel, and the steps from it to an opaque one.
    black: f32,
    range: f32,
}

/// How a plane lies over pixels: it covers `whole` of them, and the first one is that at `corner`.
pub(super) struct Stretch {
    pub(super) corner: (u32, u32),
    pub(super) whole: (u32, u32),
}

impl Alpha {
    pub(super) fn new(canvas: Canvas, stretch: Stretch) -> Result<Self, Error> {
        let shape = canvas.shape()?;
        let most = f32::from((1_u16 << shape.bits) - 1);
        let step = f32::from(1_u16 << (shape.bits - 8));
        let (black, range) = if shape.signal.full_range { (0.0, most) } else { (16.0 * step, 219.0 * step) };
        Ok(Self { plane: canvas.brightness, stretch, black, range })
    }
}

impl Pixels {
    /// The pixels with an alpha channel, which may be of another size. One that they have already is replaced.
    pub(super) fn with_alpha(self, alpha: &Alpha, is_multiplied: bool) -> Result<Self, Error> {
        let bytes = match (self.has_colour, self.has_alpha) {
            (true, false) => self.joined::<3, 3>(alpha, is_multiplied),
            (false, false) => self.joined::<1, 1>(alpha, is_multiplied),
            (true, true) => self.joined::<4, 3>(alpha, is_multiplied),
            (false, true) => self.joined::<2, 1>(alpha, is_multiplied),
        }?;
        Ok(Self { bytes, has_alpha: true, ..self })
    }

    /// `FROM` bytes of a pixel, of which so many are colours.
    fn joined<const FROM: usize, const COLOURS: usize>(
        &self,
        alpha: &Alpha,
        is_multiplied: bool,
    ) -> Result<Vec<u8>, Error> {
        let (width, height) = (self.width, self.height);
        let mut bytes = reserved(self.bytes.len() / FROM * (COLOURS + 1))?;
        let Alpha { plane, stretch: Stretch { corner, whole }, .. } = alpha;
        let at = |place: u32, of: u32, samples: u32| {
            usize::try_from(u64::from(place) * u64::from(samples) / u64::from(of)).unwrap_or(0)
        };
        for (pixels, y) in self.bytes.chunks_exact(width as usize * FROM).zip(0..height) {
            let start = at(corner.1 + y, whole.1, plane.height) * plane.width as usize;
            let row = &plane.samples[start..][..plane.width as usize];
            for (pixel, x) in pixels.as_chunks::<FROM>().0.iter().zip(0..width) {
                let alpha = byte(
                    (f32::from(row[at(corner.0 + x, whole.0, plane.width)]) - alpha.black) / alpha.range,
                );
                let divided = |light: u8| match alpha {
                    0 => 0,
                    alpha => {
                        u8::try_from((u32::from(light) * 255 / u32::from(alpha)).min(255)).unwrap_or(u8::MAX)
                    }
                };
                let colours = pixel[..COLOURS].iter().copied();
                bytes.extend(colours.map(|light| if is_multiplied { divided(light) } else { light }));
                bytes.push(alpha);
            }
        }
        Ok(bytes)
    }

    /// A rectangle of the pixels.
    pub(super) fn cropped(self, corner: (u32, u32), (width, height): (u32, u32)) -> Self {
        if corner == (0, 0) && (width, height) == (self.width, self.height) {
            return self;
        }
        let channels = channels(self.has_colour, self.has_alpha);
        let bytes = self
            .bytes
            .chunks_exact(self.width as usize * channels)
            .skip(corner.1 as usize)
            .take(height as usize)
            .flat_map(|row| &row[corner.0 as usize * channels..][..width as usize * channels])
            .copied()
            .collect();
        Self { width, height, bytes, ..self }
    }
}
