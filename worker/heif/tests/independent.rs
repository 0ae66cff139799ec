//! Pictures of other encoders, decoded here and by libheif or libavif: both must show the same.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use image::{DynamicImage, GrayAlphaImage, GrayImage, Rgb, RgbImage, RgbaImage, imageops};
use thumbnail_heif::{Colour, decode};

/// The least similarity of both, in decibels: interpolation of colours is left to decoders, rounding too.
const LEAST_DECIBELS: f64 = 38.0;

const SIDES: (u32, u32) = (726, 546);

/// Encoders and decoders of Debian's `libheif-examples` and `libavif-bin`.
struct Kind {
    decoder: &'static str,
    extension: &'static str,
}

const HEIC: Kind = Kind { decoder: "heif-convert", extension: "heic" };
const AVIF: Kind = Kind { decoder: "avifdec", extension: "avif" };

/// A folder that is removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("up-heif-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a folder");
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A picture with slopes, edges and colours, of odd sides.
fn scene() -> RgbImage {
    RgbImage::from_fn(SIDES.0 - 1, SIDES.1 - 1, |x, y| {
        let wave = |scale: f64, shift: f64| {
            let value = (f64::from(x) / scale).sin() + (f64::from(y) / (scale * 1.3) + shift).cos();
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 255")]
            let byte = (127.5 + 60.0 * value) as u8;
            byte
        };
        if (x / 97 + y / 83) % 5 == 0 {
            Rgb([230, 60, 40])
        } else {
            Rgb([wave(31.0, 0.0), wave(57.0, 1.0), wave(83.0, 2.0)])
        }
    })
}

fn run(program: &str, arguments: &[&str], folder: &Path) {
    let output = Command::new(program).args(arguments).current_dir(folder).output();
    let output = output.unwrap_or_else(|error| panic!("{program} is needed: make test installs it: {error}"));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {text}");
}

/// Encodes a picture, decodes it twice and compares.
fn assert_same(name: &str, kind: &Kind, picture: &DynamicImage, program: &str, arguments: &[&str]) {
    let folder = Folder::new(name);
    picture.save(folder.0.join("in.png")).expect("a PNG is written");
    let file = format!("out.{}", kind.extension);
    let mut all = arguments.to_vec();
    if program == "heif-enc" {
        all.extend(["-o", &file, "in.png"]);
    } else {
        all.extend(["in.png", &file]);
    }
    run(program, &all, &folder.0);
    run(kind.decoder, &[&file, "expected.png"], &folder.0);
    let expected = image::open(folder.0.join("expected.png")).expect("a PNG is read").to_rgba8();
    let bytes = std::fs::read(folder.0.join(&file)).expect("a picture is read");
    let found = shown(&bytes, name);
    assert_eq!(found.dimensions(), expected.dimensions(), "{name}");
    let decibels = psnr(&found, &expected);
    println!("{name}: {decibels:.1} dB");
    assert!(decibels >= LEAST_DECIBELS, "{name}: {decibels:.1} dB");
}

/// The picture as displayed.
fn shown(bytes: &[u8], name: &str) -> RgbaImage {
    let made =
        decode(bytes, (u32::MAX, u32::MAX), 4_000_000).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert!(!matches!(made.colour, Colour::Icc(_)), "{name}: there is no profile");
    assert_eq!(made.has_colour, !name.contains("grey") && !name.contains("400"), "{name}");
    let (width, height) = (made.width, made.height);
    let picture = match (made.has_colour, made.has_alpha) {
        (true, true) => RgbaImage::from_raw(width, height, made.pixels).map(DynamicImage::from),
        (true, false) => RgbImage::from_raw(width, height, made.pixels).map(DynamicImage::from),
        (false, true) => GrayAlphaImage::from_raw(width, height, made.pixels).map(DynamicImage::from),
        (false, false) => GrayImage::from_raw(width, height, made.pixels).map(DynamicImage::from),
    };
    let picture = picture.expect("all pixels are there").to_rgba8();
    match made.orientation {
        1 => picture,
        2 => imageops::flip_horizontal(&picture),
        3 => imageops::rotate180(&picture),
        4 => imageops::flip_vertical(&picture),
        5 => imageops::flip_horizontal(&imageops::rotate90(&picture)),
        6 => imageops::rotate90(&picture),
        7 => imageops::flip_horizontal(&imageops::rotate270(&picture)),
        _ => imageops::rotate270(&picture),
    }
}

fn psnr(one: &RgbaImage, other: &RgbaImage) -> f64 {
    let squares: f64 =
        one.iter().zip(other.iter()).map(|(one, other)| (f64::from(*one) - f64::from(*other)).powi(2)).sum();
    10.0 * (255.0 * 255.0 / (squares / one.len() as f64).max(1e-9)).log10()
}

#[test]
fn heic_of_libheif_looks_the_same() {
    let scene = DynamicImage::from(scene());
    let grey = DynamicImage::from(scene.to_luma8());
    for (name, picture, arguments) in [
        ("420", &scene, &["-q", "80"][..]),
        ("422", &scene, &["-q", "80", "-p", "chroma=422"]),
        ("444", &scene, &["-q", "80", "-p", "chroma=444"]),
        ("rgb", &scene, &["-L", "-p", "chroma=444", "--matrix_coefficients=0"]),
        ("709", &scene, &["-q", "80", "--matrix_coefficients=1"]),
        ("limited", &scene, &["-q", "80", "--full_range_flag=0"]),
        ("thumbnail", &scene, &["-q", "80", "-t", "160"]),
        ("grey", &grey, &["-q", "80"]),
    ] {
        assert_same(&format!("heic-{name}"), &HEIC, picture, "heif-enc", arguments);
    }
    let deep = DynamicImage::from(scene.to_rgb16());
    for bits in ["10", "12"] {
        assert_same(&format!("heic-{bits}"), &HEIC, &deep, "heif-enc", &["-q", "80", "-b", bits]);
    }
    assert_same("heic-alpha", &HEIC, &glass(), "heif-enc", &["-q", "80"]);
}

#[test]
fn avif_of_libavif_looks_the_same() {
    let scene = DynamicImage::from(scene());
    for (name, arguments) in [
        ("420", &["-y", "420"][..]),
        ("422", &["-y", "422"]),
        ("444", &["-y", "444"]),
        ("400", &["-y", "400"]),
        ("limited", &["-r", "limited"]),
        ("10", &["-d", "10"]),
        ("12", &["-d", "12", "-y", "444"]),
        ("rgb", &["-y", "444", "--cicp", "1/13/0"]),
        ("709", &["--cicp", "1/13/1"]),
        ("tiles", &["--tilerowslog2", "1", "--tilecolslog2", "1"]),
        ("irot1", &["--irot", "1"]),
        ("irot2", &["--irot", "2"]),
        ("irot3", &["--irot", "3"]),
        ("imir0", &["--imir", "0"]),
        ("imir1", &["--imir", "1"]),
        ("irot1-imir1", &["--irot", "1", "--imir", "1"]),
        ("irot3-imir0", &["--irot", "3", "--imir", "0"]),
    ] {
        let all = [&["-s", "8", "--min", "10", "--max", "20"], arguments].concat();
        // Its decoder writes pixels as stored, and leaves turns to others: they are compared through libheif.
        let turns = name.starts_with('i');
        let kind = if turns { Kind { decoder: "heif-convert", extension: "avif" } } else { AVIF };
        assert_same(&format!("avif-{name}"), &kind, &scene, "avifenc", &all);
    }
    let even = scene.crop_imm(0, 0, 512, 512);
    for (name, arguments) in [("grid", &["-g", "2x2"][..]), ("crop", &["--crop", "64,32,300,200"])] {
        let all = [&["-s", "8", "--min", "10", "--max", "20"], arguments].concat();
        let kind = Kind { decoder: "heif-convert", extension: "avif" };
        assert_same(&format!("avif-{name}"), &kind, &even, "avifenc", &all);
    }
    for (name, arguments) in [("alpha", &[][..]), ("premultiplied", &["-p"])] {
        let all = [&["-s", "8", "--min", "5", "--max", "10"], arguments].concat();
        assert_same(&format!("avif-{name}"), &AVIF, &glass(), "avifenc", &all);
    }
}

/// The scene behind glass that is clear at the right.
fn glass() -> DynamicImage {
    let mut picture = DynamicImage::from(scene()).to_rgba8();
    let width = picture.width();
    for (x, _, pixel) in picture.enumerate_pixels_mut() {
        pixel.0[3] = u8::try_from(80 + x * 175 / width).unwrap_or(u8::MAX);
    }
    picture.into()
}
