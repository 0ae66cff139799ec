//! Crops, turns and mirrors of a picture (ISO/IEC 23008-12, 6.5.8 to 6.5.10), in the order in which a file names them.

use crate::Error;

/// The part of the stored pixels that is displayed, and how it is turned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Turning {
    /// The displayed part of the stored picture, in pixels.
    pub(crate) part: Rectangle,
    /// Whether rows become columns.
    swaps: bool,
    /// Whether the rightmost stored column, or the lowest stored row, is displayed first.
    reverses_columns: bool,
    reverses_rows: bool,
}

/// A rectangle of pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rectangle {
    pub(crate) left: u32,
    pub(crate) top: u32,
    pub(crate) width: u32,
    pub(crate) height: u32,
}

impl Rectangle {
    /// The pixel behind the last one, across and down.
    pub(crate) const fn end(&self) -> (u32, u32) {
        (self.left + self.width, self.top + self.height)
    }

    /// The least rectangle of whole squares of pixels around this one, with two more on each side as far as a picture of
    /// `whole` pixels has them: colours are interpolated there.
    pub(crate) fn in_squares(&self, square: u32, whole: (u32, u32)) -> Self {
        let before = |start: u32| (start / square).saturating_sub(2) * square;
        let after = |end: u32, whole: u32| (end.div_ceil(square) + 2).saturating_mul(square).min(whole);
        let (left, top) = (before(self.left), before(self.top));
        let (right, bottom) = (after(self.end().0, whole.0), after(self.end().1, whole.1));
        Self { left, top, width: right - left, height: bottom - top }
    }

    /// Whether a rectangle has pixels of this one.
    pub(crate) const fn meets(&self, (left, top): (u32, u32), (width, height): (u32, u32)) -> bool {
        let (right, bottom) = self.end();
        left < right
            && top < bottom
            && left.saturating_add(width) > self.left
            && top.saturating_add(height) > self.top
    }
}

impl Turning {
    /// The whole picture as stored.
    pub(crate) const fn none((width, height): (u32, u32)) -> Self {
        Self {
            part: Rectangle { left: 0, top: 0, width, height },
            swaps: false,
            reverses_columns: false,
            reverses_rows: false,
        }
    }

    /// Width and height as displayed.
    pub(crate) const fn displayed(&self) -> (u32, u32) {
        let Rectangle { width, height, .. } = self.part;
        if self.swaps { (height, width) } else { (width, height) }
    }

    /// The value of EXIF tag 274 that turns the part in the same way.
    pub(crate) const fn exif_orientation(&self) -> u8 {
        match (self.swaps, self.reverses_columns, self.reverses_rows) {
            (false, false, false) => 1,
            (false, true, false) => 2,
            (false, true, true) => 3,
            (false, false, true) => 4,
            (true, false, false) => 5,
            (true, false, true) => 6,
            (true, true, true) => 7,
            (true, true, false) => 8,
        }
    }

    /// Turns the displayed picture by so many quarters, anticlockwise.
    pub(crate) fn turn(&mut self, quarters: u8) {
        for _ in 0..quarters % 4 {
            // The new pixel at (x, y) is the old one at (width - 1 - y, x).
            if self.swaps {
                self.reverses_rows = !self.reverses_rows;
            } else {
                self.reverses_columns = !self.reverses_columns;
            }
            self.swaps = !self.swaps;
        }
    }

    /// Exchanges top and bottom of the displayed picture, or left and right.
    pub(crate) fn mirror(&mut self, top_and_bottom: bool) {
        if top_and_bottom == self.swaps {
            self.reverses_columns = !self.reverses_columns;
        } else {
            self.reverses_rows = !self.reverses_rows;
        }
    }

    /// Crops the displayed picture to a width and a height around its centre, moved by an offset. All are fractions.
    pub(crate) fn crop(
        &mut self,
        width: (u32, u32),
        height: (u32, u32),
        across: (i32, u32),
        down: (i32, u32),
    ) -> Result<(), Error> {
        let (columns, rows) = self.displayed();
        let (left, width) = span(columns, width, across)?;
        let (top, height) = span(rows, height, down)?;
        let displayed = Rectangle { left, top, width, height };
        let Rectangle { left, top, width, height } = if self.swaps {
            Rectangle {
                left: displayed.top,
                top: displayed.left,
                width: displayed.height,
                height: displayed.width,
            }
        } else {
            displayed
        };
        let from = |start: u32, length: u32, whole: u32, reverses: bool| {
            if reverses { whole - start - length } else { start }
        };
        self.part = Rectangle {
            left: self.part.left + from(left, width, self.part.width, self.reverses_columns),
            top: self.part.top + from(top, height, self.part.height, self.reverses_rows),
            width,
            height,
        };
        Ok(())
    }
}

/// The start and the length of a crop on one axis of `whole` pixels.
fn span(whole: u32, length: (u32, u32), offset: (i32, u32)) -> Result<(u32, u32), Error> {
    let damaged = || Error::damaged("its crop lies outside the picture");
    if length.1 == 0 || offset.1 == 0 {
        return Err(damaged());
    }
    let length = f64::from(length.0) / f64::from(length.1);
    let offset = f64::from(offset.0) / f64::from(offset.1);
    let start = (offset + (f64::from(whole) - length) / 2.0).round().max(0.0);
    let length = length.round().min(f64::from(whole) - start);
    if length < 1.0 {
        return Err(damaged());
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "both lie within `whole`")]
    let whole_numbers = (start as u32, length as u32);
    Ok(whole_numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_and_mirrors_are_one_of_eight_orientations() {
        let turned = |quarters: u8, mirrors: Option<bool>| {
            let mut turning = Turning::none((640, 480));
            turning.turn(quarters);
            if let Some(top_and_bottom) = mirrors {
                turning.mirror(top_and_bottom);
            }
            (turning.exif_orientation(), turning.displayed())
        };
        assert_eq!(turned(0, None), (1, (640, 480)));
        assert_eq!(turned(1, None), (8, (480, 640)));
        assert_eq!(turned(2, None), (3, (640, 480)));
        assert_eq!(turned(3, None), (6, (480, 640)));
        assert_eq!(turned(0, Some(true)), (4, (640, 480)));
        assert_eq!(turned(0, Some(false)), (2, (640, 480)));
        // Turned anticlockwise and then mirrored: rows become columns.
        assert_eq!(turned(1, Some(true)), (5, (480, 640)));
        assert_eq!(turned(1, Some(false)), (7, (480, 640)));
    }

    #[test]
    fn a_crop_after_a_turn_is_one_of_the_stored_pixels() {
        let mut turning = Turning::none((640, 480));
        turning.turn(1);
        // Displayed 480 × 640; its top right quarter.
        turning.crop((240, 1), (320, 1), (120, 1), (-160, 1)).unwrap();
        assert_eq!(turning.displayed(), (240, 320));
        // Anticlockwise: displayed top is stored right, displayed right is stored bottom.
        assert_eq!(turning.part, Rectangle { left: 320, top: 240, width: 320, height: 240 });
    }

    #[test]
    fn a_crop_outside_the_picture_is_refused() {
        let crop = |width, offset| Turning::none((10, 10)).crop(width, (10, 1), offset, (0, 1));
        assert!(
            crop((4, 0), (0, 1)).is_err() && crop((0, 1), (0, 1)).is_err() && crop((4, 1), (0, 0)).is_err()
        );
        assert!(crop((4, 1), (100, 1)).is_err());
        let mut larger = Turning::none((10, 10));
        larger.crop((400, 1), (5, 1), (0, 1), (0, 1)).unwrap();
        assert_eq!(larger.part, Rectangle { left: 0, top: 3, width: 10, height: 5 });
    }
}
