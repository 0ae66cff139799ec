//! Tells drawings from photographs. JPEG was made for the latter: it stores colours with a quarter of the samples, which
//! smears thin lines, and needs more bytes than PNG for areas of one colour.

use super::pixels::{Layout, Pixels};

/// A picture is flat if this part of its pixels is equal to the left neighbour: in photographs, noise makes it a tenth,
/// and less with many colours.
const FLAT_PART: f64 = 0.5;

/// A difference of colour between neighbours that is seen when they share one, in steps of 255.
const SEEN: i16 = 48;

/// Lines are sharp if this part of all pixels has such a difference. In photographs it is one in a thousand.
const SHARP_PART: f64 = 0.02;

/// Every fourth row, with the one below it, is looked at.
const ROWS: usize = 4;

/// How a picture should be encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Drawing {
    /// Whether PNG may be shorter than JPEG.
    pub(super) is_flat: bool,
    /// Whether every pixel needs a colour of its own.
    pub(super) is_sharp: bool,
}

impl Drawing {
    /// A photograph.
    pub(super) const NONE: Self = Self { is_flat: false, is_sharp: false };

    /// Looks at a picture in grey or RGB.
    pub(super) fn of(picture: &Pixels) -> Self {
        match picture.layout {
            Layout::Grey => Self { is_flat: is_flat::<1>(picture), is_sharp: false },
            Layout::Rgb => Self { is_flat: is_flat::<3>(picture), is_sharp: is_sharp(picture) },
            _ => Self::NONE,
        }
    }
}

fn is_flat<const CHANNELS: usize>(picture: &Pixels) -> bool {
    let (mut equal, mut pixels) = (0, 0);
    for row in picture.bytes.chunks_exact(picture.width as usize * CHANNELS).step_by(ROWS) {
        let row = row.as_chunks::<CHANNELS>().0;
        pixels += row.len();
        equal += row.iter().zip(&row[1..]).filter(|(one, next)| one == next).count();
    }
    equal as f64 >= FLAT_PART * pixels as f64
}

fn is_sharp(picture: &Pixels) -> bool {
    let (mut sharp, mut pixels) = (0, 0);
    let rows: Vec<&[[u8; 3]]> =
        picture.bytes.chunks_exact(picture.width as usize * 3).map(|row| row.as_chunks().0).collect();
    for pair in rows.chunks(ROWS) {
        let [row, below, ..] = pair else { break };
        pixels += row.len();
        let neighbours = row.iter().zip(&row[1..]).zip(*below);
        sharp += neighbours.filter(|((one, right), below)| differ(one, right) || differ(one, below)).count();
    }
    sharp as f64 > SHARP_PART * pixels as f64
}

/// Whether two colours differ, apart from their brightness.
fn differ(&[r0, g0, b0]: &[u8; 3], &[r1, g1, b1]: &[u8; 3]) -> bool {
    let less = |one: u8, other: u8| i16::from(one) - i16::from(other);
    (less(r0, g0) - less(r1, g1)).abs() > SEEN || (less(b0, g0) - less(b1, g1)).abs() > SEEN
}
