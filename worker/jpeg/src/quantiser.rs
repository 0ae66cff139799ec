//! Quantisers, and the places of coefficients.

use crate::Error;

/// The steps of the 64 coefficients, row by row.
pub(crate) type Quantisers = [u16; 64];

/// The place, row by row, of each coefficient in the order of the file (T.81, figure A.6).
pub(crate) const ZIGZAG: [u8; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7,
    14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39,
    46, 53, 60, 61, 54, 47, 55, 62, 63,
];

/// Reads a DQT segment.
pub(crate) fn read(mut segment: &[u8], tables: &mut [Option<Quantisers>; 4]) -> Result<(), Error> {
    while let Some((&head, rest)) = segment.split_first() {
        let (is_wide, index) = (head >> 4, usize::from(head & 15));
        let bytes = match is_wide {
            0 => 64,
            1 => 128,
            _ => return Err(Error::Damaged("quantisers of an unknown width")),
        };
        let (values, rest) =
            rest.split_at_checked(bytes).ok_or(Error::Damaged("a table of quantisers is too short"))?;
        let mut table = [0; 64];
        for (index, place) in ZIGZAG.iter().enumerate() {
            table[usize::from(*place)] = match is_wide {
                0 => values[index].into(),
                _ => u16::from_be_bytes([values[2 * index], values[2 * index + 1]]),
            };
        }
        *tables.get_mut(index).ok_or(Error::Damaged("there are only four tables of quantisers"))? =
            Some(table);
        segment = rest;
    }
    Ok(())
}
