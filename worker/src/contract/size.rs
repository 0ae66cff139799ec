//! The three thumbnails of every picture, and the size of each.

use std::{fmt, num::NonZeroU32, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::{Display, EnumString};

/// One of the three thumbnails. Its name is a path segment, a storage key and a JSON value.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
    Display,
    EnumString,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Size {
    /// For a list.
    Small,
    /// For a card.
    Medium,
    /// For looking at.
    Large,
}

impl Size {
    /// All three, smallest first.
    pub const ALL: [Size; 3] = [Size::Small, Size::Medium, Size::Large];
}

/// The longest side of each thumbnail in pixels; a picture is never enlarged to reach it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    sides: [NonZeroU32; 3],
}

/// The longest side that a thumbnail may be asked to have, in pixels: past it a "thumbnail" costs more than the
/// picture itself, and the memory bound of a job no longer holds.
pub const MAX_THUMBNAIL_SIDE: u32 = 8192;

/// Why a list of sizes is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadSizes {
    /// The name is not small, medium or large.
    #[error("`{0}` is not a size; the sizes are small, medium and large")]
    Unknown(String),
    /// A part that is not `name=pixels`.
    #[error("`{0}` is not of the form name=pixels, for instance small=160")]
    Malformed(String),
    /// The number is zero, no number, or larger than [`MAX_THUMBNAIL_SIDE`].
    #[error("`{0}` is not a side from 1 to {MAX_THUMBNAIL_SIDE} pixels")]
    Side(String),
    /// A size is given twice.
    #[error("{0} is given twice")]
    Twice(Size),
    /// A size is not given.
    #[error("{0} is missing; all of small, medium and large are needed")]
    Missing(Size),
    /// A smaller size is given a longer side than a larger one.
    #[error("the sides must grow from small to large")]
    Order,
}

impl Sizes {
    /// The longest side of one thumbnail, in pixels.
    #[must_use]
    pub const fn longest_side(&self, size: Size) -> u32 {
        self.sides[size as usize].get()
    }
}

impl Default for Sizes {
    fn default() -> Self {
        "small=160,medium=480,large=1024".parse().expect("the default is well-formed")
    }
}

impl fmt::Display for Sizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [small, medium, large] = self.sides;
        write!(f, "small={small},medium={medium},large={large}")
    }
}

impl FromStr for Sizes {
    type Err = BadSizes;

    fn from_str(text: &str) -> Result<Self, BadSizes> {
        let mut sides = [None; 3];
        for part in text.split(',') {
            let (name, side) = part.split_once('=').ok_or_else(|| BadSizes::Malformed(part.to_owned()))?;
            let name = name.trim();
            let size: Size = name.parse().map_err(|_| BadSizes::Unknown(name.to_owned()))?;
            let side: NonZeroU32 = side
                .trim()
                .parse()
                .ok()
                .filter(|side: &NonZeroU32| side.get() <= MAX_THUMBNAIL_SIDE)
                .ok_or_else(|| BadSizes::Side(side.to_owned()))?;
            if sides[size as usize].replace(side).is_some() {
                return Err(BadSizes::Twice(size));
            }
        }
        let side = |size: Size| sides[size as usize].ok_or(BadSizes::Missing(size));
        let sides = [side(Size::Small)?, side(Size::Medium)?, side(Size::Large)?];
        if sides.is_sorted() { Ok(Self { sides }) } else { Err(BadSizes::Order) }
    }
}

/// Width and height of a picture whose longest side is at most `longest`: in proportion to within a pixel, never enlarged,
/// never below 1.
#[must_use]
pub fn fit((width, height): (u32, u32), longest: u32) -> (u32, u32) {
    let side = u64::from(width.max(height).max(1));
    if side <= u64::from(longest) {
        return (width, height);
    }
    let scaled = |length: u32| {
        let rounded = (u64::from(length) * u64::from(longest) + side / 2) / side;
        u32::try_from(rounded).unwrap_or(longest).max(1)
    };
    (scaled(width), scaled(height))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_round_trip_through_their_text() {
        let text = "small=1,medium=2,large=8192";
        assert_eq!(text.parse::<Sizes>().unwrap().to_string(), text);
        assert_eq!(Sizes::default().longest_side(Size::Large), 1024);
    }

    #[test]
    fn sides_are_never_enlarged_and_never_vanish() {
        assert_eq!(fit((4032, 3024), 1024), (1024, 768));
        assert_eq!(fit((3000, 4001), 1000), (750, 1000));
        assert_eq!(fit((100, 50), 160), (100, 50));
        assert_eq!(fit((160, 160), 160), (160, 160));
        assert_eq!(fit((65_535, 1), 160), (160, 1));
        assert_eq!(fit((1, 65_535), 160), (1, 160));
        assert_eq!(fit((u32::MAX, u32::MAX), 8192), (8192, 8192));
    }

    #[test]
    fn every_broken_list_is_refused_by_name() {
        for (text, why) in [
            ("small=160", BadSizes::Missing(Size::Medium)),
            ("small", BadSizes::Malformed("small".into())),
            ("tiny=1", BadSizes::Unknown("tiny".into())),
            ("small=0,medium=1,large=1", BadSizes::Side("0".into())),
            ("small=1,medium=1,large=8193", BadSizes::Side("8193".into())),
            ("small=1,small=1", BadSizes::Twice(Size::Small)),
            ("small=3,medium=2,large=4", BadSizes::Order),
        ] {
            assert_eq!(text.parse::<Sizes>().unwrap_err(), why, "{text}");
        }
    }
}
