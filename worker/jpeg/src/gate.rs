//! Whether the scans that refine AC coefficients may be left out: only where the quantisers make the difference invisible.

use crate::{Error, frame::Component, quantiser::ZIGZAG};

/// The largest step of a sample: the root of the sum of the squares of the needed AC coefficients' steps before
/// refinement, in a block of 8 × 8 samples. With these, the large thumbnails of the three photographs that were measured,
/// in up to seven qualities, lose at most 0.1 dB (`cargo bench -p thumbnail-jpeg-oracles --bench quality`). Thumbnails
/// have a quarter as many samples of colour, which are means of more.
const MAX_STEP: f32 = 2.0;
const MAX_COLOUR_STEP: f32 = 2.5;

/// Whether the first scans are precise enough. `low` is the bit that they reach, in the order of the file.
pub(crate) fn is_invisible(component: &Component, low: &[u8; 64], is_colour: bool) -> Result<bool, Error> {
    let quantisers = component.quantisers()?;
    let mut sum = 0.0;
    for k in 1..64 {
        let place = usize::from(ZIGZAG[k]);
        if place % 8 < component.nx && place / 8 < component.ny {
            let step = f32::from(quantisers[place]) * (1_u32 << low[k]) as f32;
            sum += step * step;
        }
    }
    let most = if is_colour { MAX_COLOUR_STEP } else { MAX_STEP };
    Ok(sum / 64.0 <= most * most)
}
