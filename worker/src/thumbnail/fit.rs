//! How large a thumbnail becomes.

/// Width and height of a picture whose longest side is at most `longest_side`: never enlarged, never below 1, the
/// aspect kept within a pixel.
pub(crate) fn within((width, height): (u32, u32), longest_side: u32) -> (u32, u32) {
    let longest = width.max(height);
    if longest <= longest_side {
        return (width, height);
    }
    let scale = |side: u32| {
        let rounded =
            (u64::from(side) * u64::from(longest_side) + u64::from(longest) / 2) / u64::from(longest);
        u32::try_from(rounded).expect("no longer than longest_side").max(1)
    };
    (scale(width), scale(height))
}

#[cfg(test)]
mod tests {
    use super::within;

    #[test]
    fn sides_shrink_together_and_never_to_nothing() {
        assert_eq!(within((4000, 3000), 1024), (1024, 768));
        assert_eq!(within((3000, 4001), 1000), (750, 1000));
        assert_eq!(within((65535, 1), 160), (160, 1));
        assert_eq!(within((1, 65535), 160), (1, 160));
        assert_eq!(within((u32::MAX, u32::MAX), 8192), (8192, 8192));
    }

    #[test]
    fn nothing_is_enlarged() {
        assert_eq!(within((100, 50), 160), (100, 50));
        assert_eq!(within((160, 160), 160), (160, 160));
    }
}
