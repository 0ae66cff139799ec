//! The shrunk picture, put together from its tiles.

use crate::{
    Error,
    frame::{Plane, Sample, Shape, Shrunk},
};

/// The largest factor by which a tile is shrunk. More would leave a thumbnail of a picture of 16 times its side, which
/// the pixel limit rules out for the sizes of thumbnails.
const MAX_FACTOR: u32 = 16;

/// How much larger than the thumbnail the shrunk picture stays on each side: a good filter needs more pixels than it
/// makes.
const MARGIN: f64 = 1.4;

/// The largest power of two by which a part of `sides` pixels may be shrunk so that at least `least` pixels with a
/// margin stay. `aligned`: numbers that the factor must divide, because tiles begin there.
pub(crate) fn factor(sides: (u32, u32), least: (u32, u32), aligned: &[u32]) -> u32 {
    let mut factor = 1;
    while factor < MAX_FACTOR {
        let next = factor * 2;
        let leaves = |side: u32, least: u32| f64::from(side) / f64::from(next) >= MARGIN * f64::from(least);
        let divides = aligned.iter().all(|number| number.is_multiple_of(next));
        if !leaves(sides.0, least.0) || !leaves(sides.1, least.1) || !divides {
            break;
        }
        factor = next;
    }
    factor
}

/// The planes of the shrunk picture.
pub(crate) struct Canvas {
    factor: u32,
    stored: (u32, u32),
    /// `None` until the first tile.
    shape: Option<Shape>,
    pub(crate) brightness: Shrunk,
    pub(crate) colour: [Shrunk; 2],
}

impl Canvas {
    /// A canvas for a stored picture that is shrunk by a factor.
    pub(crate) fn new(stored: (u32, u32), factor: u32) -> Self {
        Self { factor, stored, shape: None, brightness: Shrunk::default(), colour: Default::default() }
    }

    /// The shape that all tiles share.
    pub(crate) fn shape(&self) -> Result<Shape, Error> {
        self.shape.ok_or_else(|| Error::damaged("it has no tiles"))
    }

    /// Pixels of the canvas per colour sample of it.
    pub(crate) fn sampling(&self) -> Option<(u32, u32)> {
        let (across, down) = self.shape?.sampling?;
        Some((across.div_ceil(self.factor), down.div_ceil(self.factor)))
    }

    /// Adds a tile whose top left pixel is at `corner` of the stored picture.
    pub(crate) fn add<T: Sample>(
        &mut self,
        shape: Shape,
        planes: &[Plane<'_, T>],
        corner: (u32, u32),
    ) -> Result<(), Error> {
        match self.shape {
            None => self.allocate(shape)?,
            Some(known) if known == shape => {}
            Some(_) => return Err(Error::damaged("its tiles are of different kinds")),
        }
        let factor = self.factor;
        let brightness = planes.first().ok_or_else(|| Error::damaged("a tile is empty"))?;
        self.brightness.average(brightness, (factor, factor), (corner.0 / factor, corner.1 / factor));
        let Some((across, down)) = shape.sampling else { return Ok(()) };
        let each = (across.max(factor), down.max(factor));
        for (plane, shrunk) in planes.iter().skip(1).zip(&mut self.colour) {
            let factor = (each.0 / across, each.1 / down);
            shrunk.average(plane, factor, (corner.0 / each.0, corner.1 / each.1));
        }
        Ok(())
    }

    fn allocate(&mut self, shape: Shape) -> Result<(), Error> {
        let (width, height) = self.stored;
        self.brightness = blank(width.div_ceil(self.factor), height.div_ceil(self.factor))?;
        if let Some((across, down)) = shape.sampling {
            let (across, down) = (across.max(self.factor), down.max(self.factor));
            for plane in &mut self.colour {
                *plane = blank(width.div_ceil(across), height.div_ceil(down))?;
            }
        }
        self.shape = Some(shape);
        Ok(())
    }
}

fn blank(width: u32, height: u32) -> Result<Shrunk, Error> {
    let length = width as usize * height as usize;
    let mut samples = Vec::new();
    samples.try_reserve_exact(length).map_err(|_| Error::NeedsTooMuchMemory)?;
    samples.resize(length, 0);
    Ok(Shrunk { samples, width, height })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Signal;

    const SIGNAL: Signal = Signal { primaries: 1, transfer: 13, matrix: 6, full_range: true };

    #[test]
    fn the_factor_leaves_a_margin_and_meets_tiles() {
        assert_eq!(factor((4032, 3024), (1024, 768), &[512]), 2);
        assert_eq!(factor((16320, 12240), (1024, 768), &[680]), 8);
        assert_eq!(factor((16320, 12240), (1024, 768), &[510]), 2);
        assert_eq!(factor((16320, 12240), (1024, 768), &[511]), 1);
        assert_eq!(factor((1024, 768), (1024, 768), &[]), 1);
        assert_eq!(factor((u32::MAX, u32::MAX), (1, 1), &[]), MAX_FACTOR);
    }

    #[test]
    fn tiles_meet_without_a_seam_and_padding_is_left_out() {
        let shape = Shape { bits: 8, sampling: Some((2, 2)), signal: SIGNAL };
        let mut canvas = Canvas::new((6, 6), 2);
        // Four tiles of 4 × 4 pixels; the last column and row of tiles have two pixels of padding.
        for (corner, value) in [((0, 0), 10_u8), ((4, 0), 20), ((0, 4), 30), ((4, 4), 40)] {
            let brightness: Vec<u8> =
                (0..16).map(|at| if at % 4 >= 2 && corner.0 == 4 { 255 } else { value }).collect();
            let colour = vec![value; 4];
            let planes = [(&brightness, 4), (&colour, 2), (&colour, 2)].map(|(samples, side)| Plane {
                samples: samples.as_slice(),
                stride: side as usize,
                width: side,
                height: side,
            });
            canvas.add(shape, &planes, corner).unwrap();
        }
        assert_eq!(canvas.brightness.samples, [10, 10, 20, 10, 10, 20, 30, 30, 40]);
        assert_eq!(canvas.colour[0].samples, [10, 10, 20, 10, 10, 20, 30, 30, 40]);
        assert_eq!(canvas.sampling(), Some((1, 1)));
        let other = Shape { bits: 10, ..shape };
        assert!(canvas.add::<u8>(other, &[], (0, 0)).is_err(), "tiles of two kinds");
    }
}
