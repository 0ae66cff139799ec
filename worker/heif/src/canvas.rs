//! The shrunk picture, put together from its tiles.

use crate::{
    Error,
    frame::{Place, Plane, Sample, Shape, Shrunk},
    turning::Rectangle,
};

/// The largest factor by which a tile is shrunk. More would leave a thumbnail of a picture of 16 times its side, which
/// the pixel limit rules out for the sizes of thumbnails.
const MAX_FACTOR: u32 = 16;

/// How much larger than the thumbnail the shrunk picture stays on each side: a good filter needs more pixels than it
/// makes.
const MARGIN: f64 = 1.4;

/// The largest power of two by which a part of `sides` pixels may be shrunk so that at least `least` pixels with a
/// margin stay.
pub(crate) fn factor(sides: (u32, u32), least: (u32, u32)) -> u32 {
    let mut factor = 1;
    while factor < MAX_FACTOR {
        let next = factor * 2;
        let leaves = |side: u32, least: u32| f64::from(side) / f64::from(next) >= MARGIN * f64::from(least);
        if !leaves(sides.0, least.0) || !leaves(sides.1, least.1) {
            break;
        }
        factor = next;
    }
    factor
}

/// The planes of the shrunk picture.
pub(crate) struct Canvas {
    factor: u32,
    /// The part of the stored picture that is kept, in pixels.
    pub(crate) window: Rectangle,
    /// The shape that all tiles share; `None` until the first one.
    shape: Option<Shape>,
    pub(crate) brightness: Shrunk,
    pub(crate) colour: [Shrunk; 2],
}

/// The part of a picture that a canvas keeps for a part of it. Samples of colour have up to two pixels on each side.
pub(crate) fn window(part: Rectangle, whole: (u32, u32), factor: u32) -> Rectangle {
    part.in_squares(factor.max(2), whole)
}

impl Canvas {
    /// A canvas for a part of a stored picture that is shrunk by a factor. See [`window`].
    pub(crate) fn new(window: Rectangle, factor: u32) -> Result<Self, Error> {
        let none = || Shrunk::new(Rectangle { width: 0, height: 0, ..window }, (1, 1));
        Ok(Self { factor, window, shape: None, brightness: none()?, colour: [none()?, none()?] })
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
        let brightness = planes.first().ok_or_else(|| Error::damaged("a tile is empty"))?;
        let side = (brightness.width, brightness.height);
        let place = Place { corner, side, sampling: (1, 1) };
        self.brightness.average(brightness, place);
        let Some(sampling) = shape.sampling else { return Ok(()) };
        for (plane, shrunk) in planes.iter().skip(1).zip(&mut self.colour) {
            shrunk.average(plane, Place { sampling, ..place });
        }
        Ok(())
    }

    fn allocate(&mut self, shape: Shape) -> Result<(), Error> {
        self.brightness = Shrunk::new(self.window, (self.factor, self.factor))?;
        if let Some((across, down)) = shape.sampling {
            for plane in &mut self.colour {
                *plane = Shrunk::new(self.window, (across.max(self.factor), down.max(self.factor)))?;
            }
        }
        self.shape = Some(shape);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Signal;

    const fn whole((width, height): (u32, u32)) -> Rectangle {
        Rectangle { left: 0, top: 0, width, height }
    }

    const SIGNAL: Signal = Signal { primaries: 1, transfer: 13, matrix: 6, full_range: true };

    #[test]
    fn the_factor_leaves_a_margin() {
        assert_eq!(factor((4032, 3024), (1024, 768)), 2);
        assert_eq!(factor((16320, 12240), (1024, 768)), 8);
        assert_eq!(factor((1024, 768), (1024, 768)), 1);
        assert_eq!(factor((u32::MAX, u32::MAX), (1, 1)), MAX_FACTOR);
    }

    #[test]
    fn tiles_meet_without_a_seam_and_padding_is_left_out() {
        let shape = Shape { bits: 8, sampling: Some((2, 2)), signal: SIGNAL };
        let mut canvas = Canvas::new(whole((6, 6)), 2).unwrap();
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

    /// A picture whose samples differ, cut into tiles.
    fn shrunk(stored: (u32, u32), side: (u32, u32), factor: u32, sampling: (u32, u32)) -> Canvas {
        part(stored, whole(stored), side, factor, sampling)
    }

    fn part(
        stored: (u32, u32),
        window: Rectangle,
        side: (u32, u32),
        factor: u32,
        sampling: (u32, u32),
    ) -> Canvas {
        let shape = Shape { bits: 8, sampling: Some(sampling), signal: SIGNAL };
        let mut canvas = Canvas::new(window, factor).unwrap();
        let value = |x: u32, y: u32| u8::try_from((x * 7 + y * 13) % 251).unwrap();
        for top in (0..stored.1).step_by(side.1 as usize) {
            for left in (0..stored.0).step_by(side.0 as usize) {
                let plane = |across: u32, down: u32| {
                    let (width, height) = (side.0.div_ceil(across), side.1.div_ceil(down));
                    let samples: Vec<u8> = (0..width * height)
                        .map(|at| (left + at % width * across, top + at / width * down))
                        .map(|(x, y)| if x < stored.0 && y < stored.1 { value(x, y) } else { 255 })
                        .collect();
                    (samples, width, height)
                };
                let planes = [plane(1, 1), plane(sampling.0, sampling.1), plane(sampling.0, sampling.1)];
                let planes = planes.each_ref().map(|(samples, width, height)| Plane {
                    samples: samples.as_slice(),
                    stride: *width as usize,
                    width: *width,
                    height: *height,
                });
                canvas.add(shape, &planes, (left, top)).unwrap();
            }
        }
        canvas
    }

    #[test]
    fn squares_that_tiles_share_are_as_if_there_were_one_tile() {
        let stored = (301, 203);
        for factor in [1, 2, 4, 8, 16] {
            for sampling in [(1, 1), (2, 1), (2, 2)] {
                let whole = shrunk(stored, (302, 204), factor, sampling);
                for side in [(64, 64), (66, 38), (10, 6), (2, 2), (302, 20), (38, 204)] {
                    let tiled = shrunk(stored, side, factor, sampling);
                    let what = format!("{side:?} shrunk by {factor}, sampled by {sampling:?}");
                    assert_eq!(tiled.brightness.samples, whole.brightness.samples, "{what}");
                    assert_eq!(tiled.colour[0].samples, whole.colour[0].samples, "{what}");
                    assert_eq!(tiled.colour[1].samples, whole.colour[1].samples, "{what}");
                }
                for side in [(63, 51), (7, 5), (1, 1), (151, 203)] {
                    let tiled = shrunk(stored, side, factor, sampling);
                    assert_eq!(tiled.brightness.samples, whole.brightness.samples, "{side:?} {factor}");
                    // Samples of colour do not lie where those of one tile would: every square has some, no padding.
                    assert!(tiled.colour[0].samples.iter().all(|sample| *sample < 251), "{side:?} {factor}");
                }
            }
        }
    }

    #[test]
    fn a_part_has_the_squares_of_the_whole() {
        let stored = (301, 203);
        for factor in [1, 2, 8] {
            let all = shrunk(stored, (64, 64), factor, (2, 2));
            for crop in [(130, 70, 20, 11), (0, 0, 9, 9), (290, 190, 11, 13), (5, 3, 290, 190)] {
                let (left, top, width, height) = crop;
                let window = window(Rectangle { left, top, width, height }, stored, factor);
                for side in [(64, 64), (63, 51), (302, 204)] {
                    let found = part(stored, window, side, factor, (2, 2));
                    let (plane, first) = (&found.brightness, (window.left / factor, window.top / factor));
                    // Two squares and a part of one more on each side.
                    assert!(plane.width <= width.div_ceil(factor) + 10, "{crop:?}");
                    let rows = all.brightness.samples.chunks(all.brightness.width as usize);
                    let expected: Vec<u16> = rows
                        .skip(first.1 as usize)
                        .take(plane.height as usize)
                        .flat_map(|row| &row[first.0 as usize..][..plane.width as usize])
                        .copied()
                        .collect();
                    assert_eq!(plane.samples, expected, "{crop:?} of tiles of {side:?} shrunk by {factor}");
                }
            }
        }
    }

    #[test]
    fn no_square_is_left_and_few_wait_at_a_time() {
        let canvas = shrunk((1024, 1024), (63, 63), 16, (2, 2));
        for plane in [&canvas.brightness, &canvas.colour[0], &canvas.colour[1]] {
            assert_eq!(plane.waiting(), 0);
            // A row of squares, a column of a tile, and what a hash map takes.
            assert!(plane.most_waiting() <= 4 * (64 + 4), "{}", plane.most_waiting());
        }
    }
}
