//! The thumbnails that opaque pictures have as WebP as well.

use std::{fmt, str::FromStr};

use super::size::Size;

/// The thumbnails of opaque pictures that are stored as WebP beside JPEG. Pictures with transparency have all of them as
/// WebP, unless the list is empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WebpSizes([bool; 3]);

/// Why a list of sizes is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a size; the sizes are small, medium and large, or none of them")]
pub struct BadWebpSizes(String);

/// The text for an empty list.
const NONE: &str = "none";

impl WebpSizes {
    /// No WebP.
    pub const NONE: Self = Self([false; 3]);

    /// Whether the list has a size.
    #[must_use]
    pub const fn contains(self, size: Size) -> bool {
        self.0[size as usize]
    }
}

/// Small and medium cost a tenth of the time of a job, and are loaded most; large would cost a third.
impl Default for WebpSizes {
    fn default() -> Self {
        Self([true, true, false])
    }
}

impl fmt::Display for WebpSizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::NONE {
            return f.write_str(NONE);
        }
        let names: Vec<_> =
            Size::ALL.into_iter().filter(|size| self.contains(*size)).map(|size| size.to_string()).collect();
        f.write_str(&names.join(","))
    }
}

impl FromStr for WebpSizes {
    type Err = BadWebpSizes;

    fn from_str(text: &str) -> Result<Self, BadWebpSizes> {
        let mut sizes = Self::NONE;
        if text.trim() == NONE {
            return Ok(sizes);
        }
        for name in text.split(',').map(str::trim) {
            let size: Size = name.parse().map_err(|_| BadWebpSizes(name.to_owned()))?;
            sizes.0[size as usize] = true;
        }
        Ok(sizes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_and_written() {
        for text in ["none", "small,medium", "large", "small,medium,large"] {
            assert_eq!(text.parse::<WebpSizes>().unwrap().to_string(), text);
        }
        assert_eq!(WebpSizes::default().to_string(), "small,medium");
        assert_eq!("large, small".parse::<WebpSizes>().unwrap().to_string(), "small,large");
        for text in ["", "tiny", "small,none", "small;medium"] {
            assert!(text.parse::<WebpSizes>().is_err(), "{text}");
        }
    }
}
