//! Planes made in the plainest way, and those of libjpeg-turbo.

use thumbnail_jpeg::{Picture, Plane};

use crate::encoder::{Coded, Component, zigzag};

/// The largest difference between two planes.
#[must_use]
pub fn difference(one: &Plane, other: &Plane) -> u8 {
    assert_eq!((one.width, one.height), (other.width, other.height));
    assert_eq!(one.samples.len(), one.width * one.height);
    let pairs = one.samples.iter().zip(&other.samples);
    pairs.map(|(one, other)| one.abs_diff(*other)).max().unwrap_or(0)
}

/// The planes of a picture.
#[must_use]
pub fn planes(picture: &Picture) -> Vec<&Plane> {
    [&picture.brightness].into_iter().chain(picture.colour.iter().flatten()).collect()
}

/// The planes that libjpeg-turbo decodes; `None` if it refuses the file or its sampling, or warns.
#[cfg(feature = "turbojpeg")]
#[must_use]
pub fn turbo(file: &[u8]) -> Option<Vec<Plane>> {
    turbo_scaled(file, 8)
}

/// The same at some eighths of the size.
#[cfg(feature = "turbojpeg")]
#[must_use]
pub fn turbo_scaled(file: &[u8], eighths: usize) -> Option<Vec<Plane>> {
    use turbojpeg::{Decompressor, ScalingFactor, YuvImage};

    const ALIGN: usize = 1;
    let mut decompressor = Decompressor::new().ok()?;
    let factor = ScalingFactor::new(eighths, 8);
    let header = decompressor.read_header(file).ok()?.scaled(factor);
    if header.subsamp == turbojpeg::Subsamp::Unknown {
        return None;
    }
    decompressor.set_scaling_factor(factor).ok()?;
    let length = turbojpeg::yuv_pixels_len(header.width, ALIGN, header.height, header.subsamp).ok()?;
    let mut bytes = vec![0; length];
    let (width, height, subsamp) = (header.width, header.height, header.subsamp);
    let mut image = YuvImage { pixels: bytes.as_mut_slice(), width, align: ALIGN, height, subsamp };
    decompressor.decompress_to_yuv(file, image.as_deref_mut()).ok()?;
    let ((stride, rows), colour) = (image.y_size(), image.uv_size());
    let mut brightness = Vec::new();
    for row in bytes.chunks(stride).take(height) {
        brightness.extend_from_slice(&row[..width]);
    }
    let mut planes = vec![Plane { width, height, samples: brightness }];
    if subsamp != turbojpeg::Subsamp::Gray {
        for samples in bytes[stride * rows..].chunks(colour.0 * colour.1) {
            planes.push(Plane { width: colour.0, height: colour.1, samples: samples.to_vec() });
        }
    }
    Some(planes)
}

/// A component's plane with blocks of these sides, by the definition of the transform.
#[must_use]
pub fn plain(coded: &Coded, component: &Component, (nx, ny): (usize, usize)) -> Vec<f64> {
    let most = (coded.components[0].h, coded.components[0].v);
    let width = (coded.width * component.h * nx).div_ceil(8 * most.0);
    let height = (coded.height * component.v * ny).div_ceil(8 * most.1);
    let basis = |n: usize, u: usize, x: usize| {
        let length = if u == 0 { 1.0 / n as f64 } else { 2.0 / n as f64 };
        length.sqrt() * ((2 * x + 1) as f64 * u as f64 * std::f64::consts::PI / (2 * n) as f64).cos()
    };
    let (basis_x, basis_y): ([[f64; 8]; 8], [[f64; 8]; 8]) = (
        std::array::from_fn(|u| std::array::from_fn(|x| basis(nx, u, x))),
        std::array::from_fn(|v| std::array::from_fn(|y| basis(ny, v, y))),
    );
    let order = zigzag();
    let mut plane = vec![0.0; width * height];
    for (index, block) in coded_blocks(component) {
        let mut natural = [0.0; 64];
        for (k, place) in order.iter().enumerate() {
            natural[*place] = f64::from(block[k]) * f64::from(component.quantisers[*place]);
        }
        let (left, top) = (index % component.padded.0 * nx, index / component.padded.0 * ny);
        for (y, x) in (0..ny).flat_map(|y| (0..nx).map(move |x| (y, x))) {
            if left + x < width && top + y < height {
                let mut sum = 0.0;
                for (v, u) in (0..ny).flat_map(|v| (0..nx).map(move |u| (v, u))) {
                    sum += natural[v * 8 + u] * basis_x[u][x] * basis_y[v][y];
                }
                // The mean of a block does not depend on its size.
                plane[(top + y) * width + left + x] = sum * ((nx * ny) as f64).sqrt() / 8.0 + 128.0;
            }
        }
    }
    plane
}

fn coded_blocks(component: &Component) -> impl Iterator<Item = (usize, &[i16; 64])> {
    component.coefficients.iter().enumerate()
}
