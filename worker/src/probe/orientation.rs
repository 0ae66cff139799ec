//! The eight orientations of stored pixels.

/// How stored pixels are turned to be displayed: the values of EXIF tag 274 (EXIF 2.32, 4.6.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(u8)]
pub enum Orientation {
    /// 1: as stored.
    #[default]
    Upright = 1,
    /// 2: left and right are exchanged.
    Mirrored = 2,
    /// 3: turned by half.
    UpsideDown = 3,
    /// 4: top and bottom are exchanged.
    Flipped = 4,
    /// 5: rows become columns.
    Transposed = 5,
    /// 6: turned a quarter clockwise.
    Clockwise = 6,
    /// 7: rows become columns, from the other corner.
    Transversed = 7,
    /// 8: turned a quarter anticlockwise.
    Anticlockwise = 8,
}

impl Orientation {
    /// All eight, in the order of their tag values.
    pub const ALL: [Orientation; 8] = [
        Orientation::Upright,
        Orientation::Mirrored,
        Orientation::UpsideDown,
        Orientation::Flipped,
        Orientation::Transposed,
        Orientation::Clockwise,
        Orientation::Transversed,
        Orientation::Anticlockwise,
    ];

    /// The orientation of a tag value; an invalid value counts as upright.
    #[must_use]
    pub(crate) fn from_tag(value: u32) -> Self {
        Self::ALL.into_iter().find(|orientation| *orientation as u32 == value).unwrap_or_default()
    }

    /// Whether width and height are swapped.
    #[must_use]
    pub(crate) const fn swaps_sides(self) -> bool {
        self as u8 >= Orientation::Transposed as u8
    }

    /// Whether the rightmost of the stored columns is displayed first.
    #[must_use]
    pub(crate) const fn reverses_columns(self) -> bool {
        matches!(self, Self::Mirrored | Self::UpsideDown | Self::Transversed | Self::Anticlockwise)
    }

    /// Whether the lowest of the stored rows is displayed first.
    #[must_use]
    pub(crate) const fn reverses_rows(self) -> bool {
        matches!(self, Self::UpsideDown | Self::Flipped | Self::Clockwise | Self::Transversed)
    }

    /// Width and height after turning; its own inverse.
    #[must_use]
    pub(crate) const fn displayed(self, width: u32, height: u32) -> (u32, u32) {
        if self.swaps_sides() { (height, width) } else { (width, height) }
    }
}
