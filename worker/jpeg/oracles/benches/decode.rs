//! `cargo bench -p thumbnail-jpeg-oracles [-- FILE…]`: the time of each scale beside libjpeg-turbo's.
//!
//! Milliseconds of processor time of this thread, medians of runs that take turns. Only the ratios mean something
//! elsewhere.

use std::{env, fs, hint::black_box, path::PathBuf};

use rustix::time::{ClockId, clock_gettime};
use thumbnail_jpeg::{Decoder, Options, Refinement, Scale};
use turbojpeg::{Decompressor, ScalingFactor, YuvImage};

/// Runs of each figure.
const RUNS: usize = 7;

/// Without arguments, the photographs below here.
const DIRECTORY: &str = "/usr/share/backgrounds";

/// The smallest file that counts as a photograph, in bytes.
const MIN_BYTES: u64 = 200_000;

fn main() {
    let mut files: Vec<PathBuf> =
        env::args_os().skip(1).map(PathBuf::from).filter(|path| path.is_file()).collect();
    if files.is_empty() {
        walk(DIRECTORY.into(), &mut files);
    }
    println!(
        "ms, medians of {RUNS}: libjpeg-turbo / this crate (its portable code); `exact`: with all refinement scans"
    );
    for path in files {
        let Ok(file) = fs::read(&path) else { continue };
        let mut line = format!("{:<28.28}", path.file_name().unwrap_or_default().to_string_lossy());
        let (mut own, mut portable) = (Decoder::default(), Decoder::portable());
        let mut turbo = Decompressor::new().expect("it starts");
        for (scale, eighths) in [
            (Scale::Eighth, 1),
            (Scale::Quarter, 2),
            (Scale::ThreeEighths, 4),
            (Scale::Half, 4),
            (Scale::ThreeQuarters, 8),
        ] {
            let exact = Options { scale, halve_colour: true, ..Options::default() };
            let options = Options { refinement: Refinement::WhereVisible, ..exact };
            let mut times = [const { Vec::new() }; 4];
            for _ in 0..RUNS {
                times[0].push(timed(|| decode_with_turbo(&mut turbo, &file, eighths).is_some()));
                times[1].push(timed(|| own.decode(&file, &options).is_ok()));
                times[2].push(timed(|| portable.decode(&file, &options).is_ok()));
                times[3].push(timed(|| own.decode(&file, &exact).is_ok()));
            }
            let [turbo, own, portable, exact] = times.map(median);
            let (Some(turbo), Some(own), Some(portable), Some(exact)) = (turbo, own, portable, exact) else {
                line += " | refused";
                continue;
            };
            line += &format!(" | {}/8 {turbo:5.1} / {own:5.1} ({portable:5.1})", scale.samples());
            if exact > own * 1.2 {
                line += &format!(" exact {exact:5.1}");
            }
        }
        println!("{line}");
    }
}

fn walk(directory: PathBuf, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        let is_large = entry.metadata().is_ok_and(|data| data.len() >= MIN_BYTES);
        if path.is_dir() {
            walk(path, found);
        } else if is_large && path.extension().is_some_and(|extension| extension == "jpg") {
            found.push(path);
        }
    }
    found.sort();
}

fn decode_with_turbo(turbo: &mut Decompressor, file: &[u8], eighths: usize) -> Option<()> {
    let header = turbo.read_header(file).ok()?;
    let factor = ScalingFactor::new(eighths, 8);
    turbo.set_scaling_factor(factor).ok()?;
    let scaled = header.scaled(factor);
    let (width, height, subsamp) = (scaled.width, scaled.height, scaled.subsamp);
    let mut bytes = vec![0; turbojpeg::yuv_pixels_len(width, 1, height, subsamp).ok()?];
    let image = YuvImage { pixels: bytes.as_mut_slice(), width, align: 1, height, subsamp };
    turbo.decompress_to_yuv(file, image).ok()?;
    black_box(&bytes);
    Some(())
}

/// The processor time of this thread in milliseconds; `None` if the work failed.
fn timed(work: impl FnOnce() -> bool) -> Option<f64> {
    let begun = now();
    work().then(|| now() - begun)
}

fn now() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e3 + time.tv_nsec as f64 / 1e6
}

fn median(times: Vec<Option<f64>>) -> Option<f64> {
    let mut times = times.into_iter().collect::<Option<Vec<_>>>()?;
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied()
}
