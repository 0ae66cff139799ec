//! Whether the scans that refine AC coefficients may be left out: only where the quantisers make the difference invisible.

use crate::{Error, frame::Component, quantiser::ZIGZAG};

/// The largest step, as a root mean square of the needed AC coefficients' steps before refinement, of brightness and of
/// colour.
const MAX_STEP: f32 = 16.0;
const MAX_COLOUR_STEP: f32 = 40.0;

/// Whether the first scans are precise enough. `low` is the bit that they reach, in the order of the file.
pub(crate) fn is_invisible(component: &Component, low: &[u8; 64], is_colour: bool) -> Result<bool, Error> {
    let quantisers = component.quantisers()?;
    let (mut sum, mut count) = (0.0, 0.0);
    for k in 1..64 {
        let place = usize::from(ZIGZAG[k]);
        if place % 8 < component.nx && place / 8 < component.ny {
            let step = f32::from(quantisers[place]) * (1_u32 << low[k]) as f32;
            sum += step * step;
            count += 1.0;
        }
    }
    let most = if is_colour { MAX_COLOUR_STEP } else { MAX_STEP };
    Ok(sum <= most * most * count)
}
