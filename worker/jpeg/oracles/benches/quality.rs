//! `cargo bench -p thumbnail-jpeg-oracles --bench quality [-- FILE…]`: how good finished thumbnails are.
//!
//! Each photograph, and progressive copies of it in several qualities, is decoded at the scale that a thumbnail of 1024
//! pixels takes, scaled, encoded and decoded again. The figures are the brightness PSNR in dB, beside the whole picture
//! scaled down: of libjpeg-turbo's scaled decode, and what this crate gains over it with all refinement scans, with the
//! default gate, and without any. The last figures tell whether the gate left the scans out, and the time.

use std::{env, fs, path::PathBuf, time::Instant};

use fast_image_resize::{
    FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer,
    images::{Image, ImageRef},
};
use thumbnail_jpeg::{Decoder, Options, Plane, Refinement, Scale};
use thumbnail_jpeg_oracles::reference::turbo_scaled;
use turbojpeg::{Compressor, PixelFormat, Subsamp};

/// The longest side of the large thumbnail.
const LARGE: usize = 1024;

/// Qualities of the copies.
const QUALITIES: [i32; 7] = [50, 75, 80, 85, 90, 95, 98];

/// The scales of libjpeg-turbo in eighths, and the ratio that each needs; as `up-worker` chooses them.
const TURBO_SCALES: [(usize, f64); 3] = [(1, 1.4), (2, 1.4), (4, 1.0)];

fn main() {
    let files = env::args_os().skip(1).map(PathBuf::from).filter(|path| path.is_file());
    println!(
        "dB of the large thumbnail's brightness: libjpeg-turbo | own - libjpeg-turbo: exact, gate, coarse"
    );
    for path in files {
        let Ok(file) = fs::read(&path) else { continue };
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        row(&format!("{name} as it is"), &file);
        let Ok(picture) = turbojpeg::decompress(&file, PixelFormat::RGB) else { continue };
        for quality in QUALITIES {
            let mut compressor = Compressor::new().expect("it starts");
            compressor.set_quality(quality).expect("a quality");
            compressor.set_subsamp(Subsamp::Sub2x2).expect("a sampling");
            compressor.set_progressive(true).expect("progressive");
            let copy = compressor.compress_to_vec(picture.as_deref()).expect("a picture can be encoded");
            row(&format!("{name} q{quality}"), &copy);
        }
    }
}

fn row(name: &str, file: &[u8]) {
    let Some(all) = turbo_scaled(file, 8) else { return };
    let whole = &all[0];
    let longest = whole.width.max(whole.height);
    let target = |side: usize| (side * LARGE).div_ceil(longest).max(1);
    let sides = (target(whole.width), target(whole.height));
    let ratio = longest as f64 / LARGE as f64;
    let Some(scale) = Scale::ALL.into_iter().find(|scale| scale.samples() as f64 / 8.0 * ratio >= 1.2) else {
        return;
    };
    let serves = |(eighths, least): &(usize, f64)| *eighths as f64 / 8.0 * ratio >= *least;
    let eighths = TURBO_SCALES.into_iter().find(serves).map_or(8, |(eighths, _)| eighths);
    let Some(today) = turbo_scaled(file, eighths) else { return };
    let ideal = shrunk(whole, (whole.width as f64, whole.height as f64), sides);
    let finished = |plane: &Plane, eighths: usize| {
        let part = eighths as f64 / 8.0;
        let covered = (whole.width as f64 * part, whole.height as f64 * part);
        likeness(&encoded(&shrunk(plane, covered, sides)), &ideal)
    };
    let theirs = finished(&today[0], eighths);
    let mut decoder = Decoder::default();
    let mut line = format!("{name:<44.44} {}/8 {theirs:6.2} |", scale.samples());
    let half = (sides.0.div_ceil(2), sides.1.div_ceil(2));
    let of_colour =
        |plane: &Plane, covered| likeness(&encoded(&shrunk(plane, covered, half)), &blue_ideal(&all, half));
    let (mut planes, mut colours) = (Vec::new(), Vec::new());
    for refinement in [Refinement::All, Refinement::WhereVisible, Refinement::None] {
        let options = Options { scale, halve_colour: true, refinement, ..Options::default() };
        let begun = Instant::now();
        let Ok(picture) = decoder.decode(file, &options) else {
            println!("{line} refused");
            return;
        };
        let took = begun.elapsed().as_secs_f64() * 1e3;
        let own = finished(&picture.brightness, scale.samples());
        line += &format!(" {:+.2} ({took:.0} ms)", own - theirs);
        if let Some([blue, _]) = &picture.colour {
            let part = scale.samples() as f64 / 8.0;
            let covered = |whole: usize, sampling: usize| whole as f64 * part / sampling as f64;
            let covered =
                (covered(whole.width, picture.sampling.0), covered(whole.height, picture.sampling.1));
            colours.push(of_colour(blue, covered));
        }
        planes.push(picture);
    }
    let verdict = if planes[0] == planes[2] {
        "no refinement"
    } else if planes[1] == planes[2] {
        "left out"
    } else if planes[1] == planes[0] {
        "kept"
    } else {
        "left out in part"
    };
    let lost: Vec<_> = colours.iter().map(|colour| format!("{:+.2}", colour - colours[0])).collect();
    println!("{line} {verdict}; colour {}", lost.join(" "));
}

/// Cb of the whole picture, scaled down.
fn blue_ideal(all: &[Plane], half: (usize, usize)) -> Plane {
    let blue = &all[all.len() - 2];
    shrunk(blue, (blue.width as f64, blue.height as f64), half)
}

fn shrunk(plane: &Plane, (across, down): (f64, f64), (width, height): (usize, usize)) -> Plane {
    let side = |side: usize| u32::try_from(side).expect("a side");
    let from =
        ImageRef::new(side(plane.width), side(plane.height), &plane.samples, PixelType::U8).expect("a plane");
    let mut to = Image::new(side(width), side(height), PixelType::U8);
    let options = ResizeOptions::new()
        .resize_alg(ResizeAlg::Convolution(FilterType::Lanczos3))
        .crop(0.0, 0.0, across.min(plane.width as f64), down.min(plane.height as f64))
        .use_alpha(false);
    Resizer::new().resize(&from, &mut to, &options).expect("it can be scaled");
    Plane { width, height, samples: to.into_vec() }
}

/// Encoded as a thumbnail, and decoded again.
fn encoded(plane: &Plane) -> Plane {
    const QUALITY: i32 = 80;
    let (width, height) = (plane.width, plane.height);
    let image = turbojpeg::Image {
        pixels: &plane.samples[..],
        width,
        pitch: width,
        height,
        format: PixelFormat::GRAY,
    };
    let file = turbojpeg::compress(image, QUALITY, Subsamp::Gray).expect("it can be encoded");
    turbo_scaled(&file, 8).expect("it can be decoded").swap_remove(0)
}

fn likeness(one: &Plane, other: &Plane) -> f64 {
    let pairs = one.samples.iter().zip(&other.samples);
    let sum: f64 = pairs.map(|(one, other)| (f64::from(*one) - f64::from(*other)).powi(2)).sum();
    10.0 * (255.0 * 255.0 * one.samples.len() as f64 / sum.max(1e-9)).log10()
}
