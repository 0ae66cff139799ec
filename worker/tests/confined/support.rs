//! Makers, pictures, and the list of child processes.

use std::{
    fs,
    io::Cursor,
    path::PathBuf,
    time::{Duration, Instant},
};

use image::{DynamicImage, ImageFormat, Rgb, RgbImage};
use worker::{
    Format, Sizes, WebpSizes,
    config::PixelConfig,
    confinement::{ConfinementMode, Launch},
    maker::{MakeError, Maker, ThumbnailError},
};

#[expect(dead_code, reason = "other tests use the rest")]
#[path = "../../heif/tests/support/file.rs"]
mod file;

use self::file::{Coded, File, ispe};

/// The default memory limit of a job, in bytes.
pub(crate) const MEMORY: u64 = 512 * 1024 * 1024;

/// Every accepted format that `image` encodes, and its name there.
const ENCODED: [(Format, ImageFormat); 6] = [
    (Format::Jpeg, ImageFormat::Jpeg),
    (Format::Png, ImageFormat::Png),
    (Format::Gif, ImageFormat::Gif),
    (Format::WebP, ImageFormat::WebP),
    (Format::Bmp, ImageFormat::Bmp),
    (Format::Tiff, ImageFormat::Tiff),
];

/// One coded picture each, of 640 × 480 pixels.
pub(crate) const HEIC: &[u8] = include_bytes!("../../heif/tests/samples/plain.heic");
pub(crate) const AVIF: &[u8] = include_bytes!("../../heif/tests/samples/plain.avif");

pub(crate) fn pixels() -> PixelConfig {
    PixelConfig {
        max_pixels: 100_000_000,
        job_timeout: Duration::from_secs(30),
        job_memory_bytes: MEMORY,
        confinement: ConfinementMode::Require,
        sizes: Sizes::default(),
        webp: WebpSizes::default(),
    }
}

pub(crate) fn launch() -> Launch {
    let executable = PathBuf::from(env!("CARGO_BIN_EXE_up-worker"));
    Launch { executable, mode: ConfinementMode::Require, job_memory_bytes: MEMORY, attack: None }
}

pub(crate) fn maker() -> Maker {
    Maker::new(&pixels(), launch())
}

/// A picture that compresses as badly as a photograph.
pub(crate) fn picture(width: u32, height: u32) -> DynamicImage {
    #[expect(clippy::cast_possible_truncation, reason = "any colour will do")]
    let colour = |x: u32, y: u32| Rgb([(x ^ y) as u8, (x * y / 64) as u8, (x + y) as u8]);
    RgbImage::from_fn(width, height, colour).into()
}

pub(crate) fn encoded(picture: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// Width and height of the samples.
const SIDES: (u32, u32) = (640, 480);

/// A picture of so many times 640 × 480 pixels, in every accepted format. HEIC and AVIF, which nothing here encodes, are
/// rows of a sample.
pub(crate) fn in_every_format(times: u8) -> Vec<(Format, Vec<u8>)> {
    let picture = picture(SIDES.0 * u32::from(times), SIDES.1 * u32::from(times));
    let mut all: Vec<_> =
        ENCODED.into_iter().map(|(format, name)| (format, encoded(&picture, name))).collect();
    if cfg!(feature = "heic") {
        all.push((Format::Heic, in_tiles(HEIC, times)));
    }
    if cfg!(feature = "avif") {
        all.push((Format::Avif, in_tiles(AVIF, times)));
    }
    all
}

fn in_tiles(sample: &[u8], times: u8) -> Vec<u8> {
    let mut file = File::default();
    let coded = Coded::of(sample);
    let tiles: Vec<_> =
        (0..times * times).map(|_| file.add_coded(&coded, &[ispe(SIDES.0, SIDES.1)])).collect();
    let whole = (SIDES.0 * u32::from(times), SIDES.1 * u32::from(times));
    file.primary = file.add_grid(times, times, whole, &tiles, &[]);
    file.bytes()
}

/// The reason why a picture failed.
pub(crate) fn reason<T>(made: Result<T, MakeError>) -> ThumbnailError {
    match made.map(drop).unwrap_err() {
        MakeError::Picture(error) => error,
        error => panic!("{error}"),
    }
}

/// The living children of a process.
pub(crate) fn children(parent: u32) -> Vec<u32> {
    let is_child = |pid: &u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // Behind the name, which is in brackets: the state and the parent.
        let mut rest = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
        let state = rest.next();
        rest.next() == Some(&parent.to_string()) && state != Some("Z")
    };
    let entries = fs::read_dir("/proc").unwrap().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(is_child).collect()
}

/// Waits until a condition holds.
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
