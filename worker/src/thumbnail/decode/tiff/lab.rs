//! Converts CIE L*a*b* (relative to D50) to sRGB.

/// The matrix from XYZ relative to D50 to linear sRGB: that of IEC 61966-2-1 after Bradford adaptation.
const TO_RED_GREEN_BLUE: [[f32; 3]; 3] = [
    [3.133_856, -1.616_867, -0.490_615],
    [-0.978_768, 1.916_142, 0.033_454],
    [0.071_945, -0.228_991, 1.405_243],
];

/// The white point D50 (ICC.1:2022, 7.2.16).
const WHITE: [f32; 3] = [0.9642, 1.0, 0.8249];

/// Steps of the table of the sRGB curve: fine enough that neighbours differ by less than a step of 16 bits at 8.
const STEPS: usize = 4096;

/// A converter with its table.
pub(super) struct Lab {
    /// sRGB of linear light, both from 0 to full.
    curve: Vec<u16>,
}

impl Lab {
    pub(super) fn new() -> Self {
        let curve = (0..=STEPS).map(|step| {
            // Steps are squared, because the curve is steep in the dark.
            let light = (step as f64 / STEPS as f64).powi(2);
            let value =
                if light <= 0.003_130_8 { light * 12.92 } else { 1.055 * light.powf(1.0 / 2.4) - 0.055 };
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 65535")]
            let value = (value * 65535.0).round() as u16;
            value
        });
        Self { curve: curve.collect() }
    }

    /// sRGB of L* (0 to 100), a* and b*.
    pub(super) fn srgb(&self, [lightness, a, b]: [f32; 3]) -> [u16; 3] {
        let y = (lightness + 16.0) / 116.0;
        let xyz = [y + a / 500.0, y, y - b / 200.0].map(|value| {
            const EDGE: f32 = 6.0 / 29.0;
            if value > EDGE { value.powi(3) } else { 3.0 * EDGE * EDGE * (value - 4.0 / 29.0) }
        });
        TO_RED_GREEN_BLUE.map(|row| {
            let light: f32 = (0..3).map(|axis| row[axis] * xyz[axis] * WHITE[axis]).sum();
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to STEPS")]
            let step = (light.clamp(0.0, 1.0).sqrt() * STEPS as f32).round() as usize;
            self.curve[step]
        })
    }
}
