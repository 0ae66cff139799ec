//! The project's own corpus: pictures of every format, layout, depth, sampling and profile that can be written, each
//! compared with pixels that no decoder has computed. `integration-tests/pictures/generate.py` writes it.

use std::{
    fmt, fs,
    panic::{self, AssertUnwindSafe},
    path::{Path, PathBuf},
    process::Command,
    str::FromStr,
    time::Duration,
};

use image::{ImageFormat, Rgba, RgbaImage};
use integration_tests::repository;
use tempfile::TempDir;
use worker::{
    Encoding, Sizes, Warning, WebpSizes,
    config::PixelConfig,
    confinement::ConfinementMode,
    measure::{Stages, ThumbnailSet},
    probe::{self, Sniff},
};

/// The largest picture of the corpus, with room.
const MAX_PIXELS: u64 = 1_000_000;

/// Distance of the squares whose mean colours are compared, in pixels, and their sides. Between them edges may be soft.
const STEP: u32 = 8;
const SQUARE: u32 = 4;

/// A row of the table.
struct Row {
    name: String,
    sides: (u32, u32),
    place: String,
    colour: String,
    tolerance: u8,
    warnings: String,
    reason: String,
}

/// The rows of sections of the corpus, and the folder with their pictures.
fn corpus(sections: &[&str]) -> (TempDir, Vec<Row>) {
    let folder = tempfile::tempdir().expect("a temporary directory can be made");
    let generator = repository::root().join("integration-tests/pictures/generate.py");
    let done =
        Command::new("/usr/bin/python3").arg("-B").arg(&generator).arg(folder.path()).args(sections).output();
    let done = done.expect("python3 can be started: make test installs it");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let table = fs::read_to_string(folder.path().join("expect.tsv")).expect("the generator writes a table");
    let rows = table.lines().map(|line| {
        let cells: Vec<&str> = line.split('\t').collect();
        let [name, width, height, place, colour, tolerance, warnings, reason] = cells[..] else {
            panic!("a row has eight cells: {line}")
        };
        Row {
            name: name.to_owned(),
            sides: (number(width), number(height)),
            place: place.to_owned(),
            colour: colour.to_owned(),
            tolerance: number(tolerance),
            warnings: warnings.to_owned(),
            reason: reason.to_owned(),
        }
    });
    let rows = rows.collect();
    (folder, rows)
}

fn number<T: FromStr<Err: fmt::Debug>>(text: &str) -> T {
    text.parse().expect("the table has a number there")
}

/// The thumbnails of a file as the product makes them, or the sentence that it is refused with.
fn made(stages: &mut Stages, file: &[u8]) -> Result<ThumbnailSet, String> {
    let format = match probe::sniff(&file[..file.len().min(probe::SNIFF_BYTES)]) {
        Sniff::Format(format) => format,
        Sniff::Other(what) => return Err(what.to_owned()),
        Sniff::Unknown | Sniff::Empty => return Err("unknown".to_owned()),
    };
    match probe::probe(std::io::Cursor::new(file), format) {
        Ok(_) => {}
        Err(probe::ProbeError::Damaged(_)) => return Err("The file is damaged.".to_owned()),
        Err(error) => return Err(error.to_string()),
    }
    let pixels = PixelConfig {
        max_pixels: MAX_PIXELS,
        job_timeout: Duration::from_secs(60),
        job_memory_bytes: 0,
        confinement: ConfinementMode::Off,
        sizes: Sizes::default(),
        webp: WebpSizes::NONE,
    };
    stages.make(file, format, &pixels, |_| {}).map_err(|error| error.to_string())
}

fn opened(made: &ThumbnailSet, size: usize) -> RgbaImage {
    let thumbnail = &made.thumbnails[size];
    let format = match thumbnail.encoding {
        Encoding::Jpeg => ImageFormat::Jpeg,
        Encoding::Png => ImageFormat::Png,
        Encoding::WebP => ImageFormat::WebP,
    };
    image::load_from_memory_with_format(&thumbnail.bytes, format)
        .expect("a thumbnail can be opened")
        .to_rgba8()
}

/// The mean colour of a square, of colours that are multiplied by alpha.
fn mean(picture: &RgbaImage, left: u32, top: u32) -> [f64; 4] {
    let mut sum = [0.0; 4];
    let mut count = 0.0;
    for y in top..(top + SQUARE).min(picture.height()) {
        for x in left..(left + SQUARE).min(picture.width()) {
            let Rgba([red, green, blue, alpha]) = *picture.get_pixel(x, y);
            let part = f64::from(alpha) / 255.0;
            for (sum, value) in sum.iter_mut().zip([red, green, blue]) {
                *sum += f64::from(value) * part;
            }
            sum[3] += f64::from(alpha);
            count += 1.0;
        }
    }
    sum.map(|sum| sum / count)
}

/// The largest difference of the mean colours of two pictures, and where it is.
fn difference(found: &RgbaImage, expected: &RgbaImage) -> (f64, (u32, u32)) {
    let mut most = (0.0, (0, 0));
    for top in (0..expected.height()).step_by(STEP as usize) {
        for left in (0..expected.width()).step_by(STEP as usize) {
            let (one, other) = (mean(found, left + 2, top + 2), mean(expected, left + 2, top + 2));
            for (one, other) in one.iter().zip(other) {
                if (one - other).abs() > most.0 {
                    most = ((one - other).abs(), (left, top));
                }
            }
        }
    }
    most
}

/// Why a row does not hold.
fn fault(stages: &mut Stages, folder: &Path, row: &Row) -> Option<String> {
    let file = fs::read(folder.join(&row.name)).expect("the generator writes every file");
    let made = match (made(stages, &file), row.sides) {
        (Err(sentence), (0, 0)) => {
            return (!sentence.contains(&row.colour)).then(|| format!("refused with {sentence:?}"));
        }
        (Err(sentence), _) => return Some(format!("refused with {sentence:?}")),
        (Ok(_), (0, 0)) => return Some("made".to_owned()),
        (Ok(made), _) => made,
    };
    if (made.width, made.height) != row.sides {
        return Some(format!("{} x {}", made.width, made.height));
    }
    let warnings = if row.warnings == "cut-short" { vec![Warning::CutShort] } else { Vec::new() };
    if made.warnings != warnings {
        return Some(format!("warnings {:?}", made.warnings));
    }
    let tolerance = f64::from(row.tolerance);
    if row.place == "all" {
        let reference =
            image::open(folder.join(&row.colour)).expect("the generator writes references").to_rgba8();
        let (most, at) = difference(&opened(&made, 2), &reference);
        return (most > tolerance).then(|| format!("differs by {most:.0} at {at:?}"));
    }
    let numbers = |text: &str| -> Vec<f64> { text.split(',').map(number).collect() };
    let (place, mut colour) = (numbers(&row.place), numbers(&row.colour));
    if colour.len() == 3 {
        colour.push(255.0);
    }
    let picture = opened(&made, 2);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place in a picture")]
    let at = |part: f64, side: u32| (part * f64::from(side)) as u32;
    let found = picture.get_pixel(at(place[0], picture.width()), at(place[1], picture.height())).0;
    let is_near =
        found.iter().zip(&colour).all(|(found, right)| (f64::from(*found) - right).abs() <= tolerance);
    (!is_near).then(|| format!("{found:?} instead of {colour:?}"))
}

/// Compares all pictures of sections.
fn compare(sections: &[&str]) {
    let (folder, rows) = corpus(sections);
    assert!(!rows.is_empty(), "the corpus has none");
    let mut stages = Stages::default();
    let mut faults = Vec::new();
    for row in &rows {
        let found = panic::catch_unwind(AssertUnwindSafe(|| fault(&mut stages, folder.path(), row)));
        let found = found.unwrap_or_else(|_| {
            stages = Stages::default();
            Some("panic".to_owned())
        });
        faults.extend(found.map(|fault| format!("{}: {fault} ({})", row.name, row.reason)));
    }
    assert!(faults.is_empty(), "{} of {} are wrong:\n{}", faults.len(), rows.len(), faults.join("\n"));
}

#[test]
fn every_tiff_is_right() {
    compare(&["tiffs"]);
}

#[test]
fn colours_are_right_in_every_container() {
    compare(&["colours", "png_chunks"]);
}

#[test]
fn every_other_format_is_right() {
    compare(&["others"]);
}

#[test]
fn a_cut_file_is_shown_if_half_is_there() {
    compare(&["cut"]);
}

#[test]
fn drawings_are_not_smeared() {
    compare(&["drawings"]);
}

/// Changes to each picture, and bytes of each change. With 1,500 pictures this is a short run of a fuzzer; a long one is
/// `make fuzz`.
const CHANGES: u64 = 6;
const CHANGED_BYTES: u64 = 5;

#[test]
fn no_damage_makes_a_decoder_panic() {
    let (folder, rows) = corpus(&["tiffs", "others", "cut"]);
    let mut stages = Stages::default();
    let mut random = 1_u64;
    let mut next = move |below: u64| {
        // The generator of Knuth's MMIX: repeatable, and good enough to place damage.
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % below.max(1)
    };
    let mut panics = Vec::new();
    for row in &rows {
        let whole = fs::read(folder.path().join(&row.name)).expect("the generator writes every file");
        for change in 0..CHANGES {
            let mut file = whole.clone();
            for _ in 0..CHANGED_BYTES {
                // Headers and directories are at the ends.
                let length = file.len() as u64;
                let near = next(length.min(300));
                let at = match next(3) {
                    0 => near,
                    1 => length - 1 - near,
                    _ => next(length),
                };
                let at = usize::try_from(at).expect("a place in a file");
                file[at] = u8::try_from(next(256)).expect("a byte");
            }
            if panic::catch_unwind(AssertUnwindSafe(|| drop(made(&mut stages, &file)))).is_err() {
                stages = Stages::default();
                panics.push(format!("{} {change}", row.name));
            }
        }
    }
    assert!(panics.is_empty(), "{} panics:\n{}", panics.len(), panics.join("\n"));
}

/// A table elsewhere, made of rows of seven cells: `UP_PICTURES=/some/folder`.
#[test]
fn pictures_from_elsewhere_are_right_too() {
    let Some(folder) = std::env::var_os("UP_PICTURES").map(PathBuf::from) else { return };
    let table = fs::read_to_string(folder.join("expect.tsv")).expect("it has a table");
    let mut stages = Stages::default();
    let mut faults = Vec::new();
    for line in table.lines() {
        let cells: Vec<&str> = line.split('\t').collect();
        let row = Row {
            name: cells[0].to_owned(),
            sides: (number(cells[1]), number(cells[2])),
            place: cells[3].to_owned(),
            colour: if cells[1] == "0" { "camera raw".to_owned() } else { cells[4].to_owned() },
            tolerance: number(cells[5]),
            warnings: String::new(),
            reason: cells[6].to_owned(),
        };
        faults.extend(
            fault(&mut stages, &folder, &row).map(|fault| format!("{}: {fault} ({})", row.name, row.reason)),
        );
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
