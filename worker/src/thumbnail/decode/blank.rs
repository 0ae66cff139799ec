//! The missing part of a JPEG. Its decoder fills it with middle grey; here it becomes white, as in other formats.

use crate::thumbnail::{picture::Picture, pixels::Pixels};

/// The sample that libjpeg makes up for a missing block, of brightness and of colour.
const FILLED: u8 = 128;

/// Makes the missing rows at the end white. Returns how many of all rows there are.
pub(super) fn whiten(picture: &mut Picture) -> (u32, u32) {
    match picture {
        Picture::Planes(planes) => {
            let down = planes.sampling.1;
            let colours = planes.colour.iter().map(filled_rows).min().unwrap_or(0);
            let brightness = &mut planes.brightness;
            // Colour samples beyond the end of the picture are missing too.
            let beyond =
                planes.colour[0].height * down - brightness.height.min(planes.colour[0].height * down);
            let missing = filled_rows(brightness).min((colours * down).saturating_sub(beyond));
            whiten_rows(brightness, missing);
            (missing, brightness.height)
        }
        Picture::Pixels(pixels) => {
            let missing = filled_rows(pixels);
            whiten_rows(pixels, missing);
            (missing, pixels.height)
        }
    }
}

/// Rows at the end that are all middle grey.
fn filled_rows(plane: &Pixels) -> u32 {
    let rows = plane.bytes.chunks_exact(stride(plane)).rev();
    let filled = rows.take_while(|row| row.iter().all(|sample| *sample == FILLED)).count();
    u32::try_from(filled).unwrap_or(plane.height)
}

fn whiten_rows(plane: &mut Pixels, rows: u32) {
    let from = (plane.height - rows) as usize * stride(plane);
    plane.bytes[from..].fill(u8::MAX);
}

fn stride(plane: &Pixels) -> usize {
    plane.width as usize * plane.layout.channels()
}
