//! Samples to RGB (ITU-T H.273, 8.3).

use crate::{
    Error, Unsupported,
    canvas::Canvas,
    frame::{Shrunk, Signal, UNSPECIFIED},
};

/// `MatrixCoefficients`: the samples are green, blue and red.
const IDENTITY: u16 = 0;
/// YCgCo.
const YCGCO: u16 = 8;
/// Derived from the primaries.
const DERIVED: u16 = 12;

/// How brightness and colour differences become red, green and blue.
enum Matrix {
    Identity,
    YCgCo,
    /// The weights of red and of blue in brightness.
    Weights(f32, f32),
}

impl Matrix {
    fn of(signal: Signal) -> Result<Self, Error> {
        // Weights of H.273, table 4.
        Ok(match signal.matrix {
            IDENTITY => Self::Identity,
            YCGCO => Self::YCgCo,
            1 => Self::Weights(0.2126, 0.0722),
            4 => Self::Weights(0.30, 0.11),
            5 | 6 | UNSPECIFIED => Self::Weights(0.299, 0.114),
            7 => Self::Weights(0.212, 0.087),
            9 => Self::Weights(0.2627, 0.0593),
            DERIVED => match signal.primaries {
                1 => Self::Weights(0.2126, 0.0722),
                9 => Self::Weights(0.2627, 0.0593),
                // The Y of the primaries of P3 with the white of D65.
                12 => Self::Weights(0.2290, 0.0793),
                _ => Self::Weights(0.299, 0.114),
            },
            _ => return Err(Unsupported::Colours.into()),
        })
    }

    /// Red, green and blue of a brightness from 0 to 1 and differences from -0.5 to 0.5.
    fn rgb(&self, y: f32, first: f32, second: f32) -> [f32; 3] {
        match *self {
            Self::Identity => [second + 0.5, y, first + 0.5],
            // Cg, Co.
            Self::YCgCo => [y - first + second, y + first, y - first - second],
            Self::Weights(red, blue) => {
                let r = y + 2.0 * (1.0 - red) * second;
                let b = y + 2.0 * (1.0 - blue) * first;
                [r, (y - red * r - blue * b) / (1.0 - red - blue), b]
            }
        }
    }
}

/// The steps from a sample to a brightness or to a difference.
#[derive(Clone, Copy)]
struct Range {
    black: f32,
    brightness: f32,
    middle: f32,
    difference: f32,
}

impl Range {
    fn new(bits: u8, full_range: bool, is_identity: bool) -> Self {
        let step = f32::from(1_u16 << (bits - 8));
        let most = f32::from((1_u16 << bits) - 1);
        let middle = f32::from(1_u16 << (bits - 1));
        let range = if full_range {
            Self { black: 0.0, brightness: most, middle, difference: most }
        } else {
            Self { black: 16.0 * step, brightness: 219.0 * step, middle, difference: 224.0 * step }
        };
        // Green, blue and red are all coded like a brightness.
        if is_identity {
            let middle = range.black + range.brightness / 2.0;
            return Self { middle, difference: range.brightness, ..range };
        }
        range
    }
}

/// Calls `paint` with the red, green and blue of every pixel of a canvas, row by row; 0 to 1 is the visible range.
pub(crate) fn for_each_rgb(
    canvas: &Canvas,
    signal: Signal,
    mut paint: impl FnMut([f32; 3]),
) -> Result<(), Error> {
    let shape = canvas.shape()?;
    let matrix = Matrix::of(signal)?;
    let range = Range::new(shape.bits, signal.full_range, matches!(matrix, Matrix::Identity));
    let brightness = &canvas.brightness;
    let width = brightness.width as usize;
    let rows = brightness.samples.chunks_exact(width);
    let Some(sampling) = canvas.sampling() else {
        for sample in &brightness.samples {
            paint([(f32::from(*sample) - range.black) / range.brightness; 3]);
        }
        return Ok(());
    };
    let mut colour = [vec![0.0; width], vec![0.0; width]];
    for (y, row) in (0_u32..).zip(rows) {
        for (plane, values) in canvas.colour.iter().zip(&mut colour) {
            interpolate(plane, sampling, y, values);
        }
        for ((sample, first), second) in row.iter().zip(&colour[0]).zip(&colour[1]) {
            let brightness = (f32::from(*sample) - range.black) / range.brightness;
            let difference = |sample: f32| (sample - range.middle) / range.difference;
            paint(matrix.rgb(brightness, difference(*first), difference(*second)));
        }
    }
    Ok(())
}

/// The colour samples at the pixels of a row, between their neighbours where there are fewer samples than pixels.
fn interpolate(plane: &Shrunk, (across, down): (u32, u32), y: u32, values: &mut [f32]) {
    let (above, below, part) = neighbours(y, down, plane.height);
    let width = plane.width as usize;
    let line = |row: u32| &plane.samples[row as usize * width..][..width];
    let (above, below) = (line(above), line(below));
    let between = |column: u32| {
        let column = column as usize;
        f32::from(above[column]) * (1.0 - part) + f32::from(below[column]) * part
    };
    for (x, value) in (0_u32..).zip(values) {
        *value = if across == 1 {
            between(x.min(plane.width - 1))
        } else {
            let (left, right, part) = neighbours(x, across, plane.width);
            between(left) * (1.0 - part) + between(right) * part
        };
    }
}

/// The samples before and after the centre of a pixel on an axis, and how near it is to the second.
fn neighbours(pixel: u32, each: u32, samples: u32) -> (u32, u32, f32) {
    let last = samples - 1;
    if each == 1 {
        return (pixel.min(last), pixel.min(last), 0.0);
    }
    // Twice the distance of the centre of the pixel from that of the first sample, in pixels.
    let twice = i64::from(pixel) * 2 + 1 - i64::from(each);
    let before = twice.div_euclid(2 * i64::from(each));
    #[expect(clippy::cast_precision_loss, reason = "less than two samples")]
    let part = twice.rem_euclid(2 * i64::from(each)) as f32 / (2 * each) as f32;
    let within = |sample: i64| u32::try_from(sample.clamp(0, i64::from(last))).unwrap_or(last);
    (within(before), within(before + 1), part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_black_and_red_come_out_in_every_range() {
        let matrix = Matrix::of(Signal { primaries: 1, transfer: 13, matrix: 1, full_range: false }).unwrap();
        let near = |a: [f32; 3], b: [f32; 3]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 0.01);
        assert!(near(matrix.rgb(1.0, 0.0, 0.0), [1.0; 3]));
        assert!(near(matrix.rgb(0.2126, -0.1146, 0.5), [1.0, 0.0, 0.0]));
        for (bits, full_range, white) in
            [(8, true, 255.0), (8, false, 235.0), (10, true, 1023.0), (10, false, 940.0)]
        {
            let range = Range::new(bits, full_range, false);
            assert!(((white - range.black) / range.brightness - 1.0).abs() < 1e-5, "{bits} {full_range}");
        }
    }

    #[test]
    fn colour_samples_lie_between_pixels() {
        // Two pixels for each sample: their centres are a quarter of a sample from it.
        assert_eq!(neighbours(0, 2, 4), (0, 0, 0.75));
        assert_eq!(neighbours(1, 2, 4), (0, 1, 0.25));
        assert_eq!(neighbours(2, 2, 4), (0, 1, 0.75));
        assert_eq!(neighbours(7, 2, 4), (3, 3, 0.25));
        assert_eq!(neighbours(5, 1, 4), (3, 3, 0.0));
    }
}
