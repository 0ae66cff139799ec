//! `make bench`: what the pixels of a picture cost, stage by stage and as a whole confined job, beside the floor and
//! beside what a straightforward program does.
//!
//! Figures are medians of runs that take turns; only the ratios between them mean something elsewhere.

use std::{
    env, fs,
    io::{Cursor, Read, Write},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

use image::{DynamicImage, ImageFormat, codecs::jpeg::JpegEncoder, imageops::FilterType};
use integration_tests::{pictures, rivals};
use worker::{
    Format, Size, Sizes, WebpSizes,
    config::PixelConfig,
    confinement::{ConfinementMode, Launch, Priority, SandboxCommand},
    maker::Maker,
    measure::{ALLOCATOR, Stage, Stages},
    original::Original,
};

/// Runs of each figure, and of those that take long and are only there to be compared with.
const RUNS: usize = 11;
const SLOW_RUNS: usize = 3;

/// Photographs that are taken from a directory.
const PHOTOGRAPHS: usize = 12;

/// The time that a job may take beyond the floor: half of it again, and a constant for the work of every job.
const GOAL_TIMES: f64 = 1.5;
const GOAL_MORE: Duration = Duration::from_millis(5);

fn main() -> ExitCode {
    if let Some(command) = SandboxCommand::from_command_line() {
        return command.run();
    }
    if ALLOCATOR.iter().any(|(name, _)| env::var_os(name).is_none()) {
        // The stages are measured here, so memory must be kept here as it is there.
        let error = Command::new("/proc/self/exe").args(env::args_os().skip(1)).envs(ALLOCATOR).exec();
        eprintln!("could not start again: {error}");
        return ExitCode::FAILURE;
    }
    if env::args().nth(1).is_some_and(|argument| argument == MEMORY_ARGUMENT) {
        tell_memory(&env::args().nth(2).unwrap_or_default());
        return ExitCode::SUCCESS;
    }
    let directory = env::args_os().nth(1).map_or_else(|| PathBuf::from(pictures::PHOTOGRAPHS), PathBuf::from);
    let photographs: Vec<_> =
        pictures::spread_below(&directory, PHOTOGRAPHS).iter().filter_map(|path| subject(path)).collect();
    if photographs.is_empty() {
        eprintln!("there are no photographs in {}: make bench installs some", directory.display());
        return ExitCode::FAILURE;
    }
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts");
    runtime.block_on(compare(&photographs));
    ExitCode::SUCCESS
}

async fn compare(photographs: &[Subject]) {
    let bench = Bench::start().await;
    println!(
        "times in ms, medians of {RUNS}; memory in MiB; `job` is the whole confined job, `complete` the sum \
         with libjpeg-turbo instead of thumbnail-jpeg, `times` what `image` alone takes"
    );
    println!(
        "{:<34} {:>11} {:>6} | {:>6} {:>6} {:>6} {:>6} {:>8} | {:>6} {:>6} {:>6} | {:>6} {:>6} | {:>7} {:>6}",
        "picture",
        "sides",
        "MB",
        "decode",
        "scale",
        "encode",
        "sum",
        "complete",
        "mem",
        "+scale",
        "+enc",
        "job",
        "more",
        "floor",
        "times"
    );
    let mut rows = Vec::new();
    for subject in photographs {
        rows.push(bench.row(subject).await);
    }
    let mut met: Vec<f64> = rows.iter().map(Row::beyond_goal).collect();
    met.sort_by(f64::total_cmp);
    println!(
        "the job less {GOAL_MORE:?} is {:.2} times the floor at the median; the goal is {GOAL_TIMES}",
        met[met.len() / 2]
    );
    let mut gain: Vec<f64> = rows.iter().map(|row| row.plain / row.job).collect();
    gain.sort_by(f64::total_cmp);
    println!(
        "a straightforward program on `image` takes {:.1} times as long at the median",
        gain[gain.len() / 2]
    );
    let mut share: Vec<f64> = rows.iter().map(|row| row.sum / row.complete).collect();
    share.sort_by(f64::total_cmp);
    println!("thumbnail-jpeg takes {:.2} of libjpeg-turbo's time at the median", share[share.len() / 2]);
    let mut share: Vec<f64> = rows.iter().map(|row| row.with_webp / row.job).collect();
    share.sort_by(f64::total_cmp);
    println!(
        "with WebP as by default, a job takes {:.2} times as long at the median",
        share[share.len() / 2]
    );
    println!("\nother formats, made of one of the photographs:");
    for subject in others(&photographs[0]) {
        bench.row(&subject).await;
    }
    println!();
    let sharp =
        rivals::compare(&photographs.iter().map(|subject| subject.path.as_path()).collect::<Vec<_>>());
    let mut shares: Vec<f64> = rows.iter().zip(sharp).map(|(row, sharp)| row.job / sharp).collect();
    shares.sort_by(f64::total_cmp);
    if let Some(median) = shares.get(shares.len() / 2) {
        let all: Vec<_> = shares.iter().map(|share| format!("{share:.2}")).collect();
        println!("the confined job takes {median:.2} of sharp's time at the median: {}", all.join(" "));
    }
}

/// A picture to be measured.
struct Subject {
    path: PathBuf,
    name: String,
    format: Format,
    bytes: Vec<u8>,
    sides: (u32, u32),
}

fn subject(path: &Path) -> Option<Subject> {
    let name = path.file_name()?.to_string_lossy().into_owned();
    let sides = image::image_dimensions(path).ok()?;
    Some(Subject { path: path.to_owned(), name, format: Format::Jpeg, bytes: fs::read(path).ok()?, sides })
}

fn others(photograph: &Subject) -> Vec<Subject> {
    let Ok(picture) = image::load_from_memory(&photograph.bytes) else { return Vec::new() };
    let picture = picture.resize(1920, 1920, FilterType::Triangle);
    [
        (Format::Png, ImageFormat::Png),
        (Format::Gif, ImageFormat::Gif),
        (Format::WebP, ImageFormat::WebP),
        (Format::Bmp, ImageFormat::Bmp),
        (Format::Tiff, ImageFormat::Tiff),
    ]
    .into_iter()
    .map(|(format, image_format)| {
        let mut bytes = Cursor::new(Vec::new());
        picture.write_to(&mut bytes, image_format).expect("a picture can be encoded");
        let sides = (picture.width(), picture.height());
        Subject { path: PathBuf::new(), name: format.to_string(), format, bytes: bytes.into_inner(), sides }
    })
    .collect()
}

struct Bench {
    pixels: PixelConfig,
    maker: Maker,
    /// A maker that makes WebP as well.
    webp_maker: Maker,
}

/// The times of a picture, in milliseconds.
struct Row {
    job: f64,
    /// The job with WebP as by default.
    with_webp: f64,
    sum: f64,
    /// The sum with the complete decoder.
    complete: f64,
    floor: Option<f64>,
    plain: f64,
}

impl Row {
    fn beyond_goal(&self) -> f64 {
        self.floor.map_or(f64::NAN, |floor| (self.job - milliseconds(GOAL_MORE)) / floor)
    }
}

impl Bench {
    async fn start() -> Self {
        let pixels = pixels();
        let maker = Maker::new(&pixels, Launch::own(pixels.confinement, pixels.job_memory_bytes));
        maker.warm(1).await.expect("a confined process starts");
        let with_webp = PixelConfig { webp: WebpSizes::default(), ..pixels.clone() };
        let webp_maker = Maker::new(&with_webp, Launch::own(pixels.confinement, pixels.job_memory_bytes));
        webp_maker.warm(1).await.expect("a confined process starts");
        Self { pixels, maker, webp_maker }
    }

    async fn row(&self, subject: &Subject) -> Row {
        let Subject { name, format, bytes, sides: (width, height), .. } = subject;
        let original = Original::from(bytes.clone());
        let (mut stages, mut complete_stages) = (Stages::default(), Stages::with_complete_decoder());
        let (mut completes, mut webp_jobs) = (Vec::new(), Vec::new());
        let (mut split, mut sums, mut jobs, mut floors) = ([const { Vec::new() }; 3], vec![], vec![], vec![]);
        for _ in 0..RUNS {
            let mut begun = Instant::now();
            let whole = begun;
            let mut at = 0;
            let made = stages.make(bytes, *format, &self.pixels, |_: Stage| {
                split[at].push(begun.elapsed());
                (at, begun) = (at + 1, Instant::now());
            });
            sums.push(whole.elapsed());
            made.expect("a photograph can be decoded");
            let begun = Instant::now();
            let made = complete_stages.make(bytes, *format, &self.pixels, |_: Stage| {});
            completes.push(begun.elapsed());
            made.expect("a photograph can be decoded");
            for (maker, times) in [(&self.maker, &mut jobs), (&self.webp_maker, &mut webp_jobs)] {
                let begun = Instant::now();
                let made = maker.make(original.clone(), *format, Priority::Normal).await;
                times.push(begun.elapsed());
                made.expect("a photograph can be decoded");
            }
            floors.extend(floor(bytes, *format));
        }
        let plain: Vec<_> = (0..SLOW_RUNS).map(|_| plain(bytes, &self.pixels.sizes)).collect();
        let memory = memory(subject);
        let [decode, scale, encode] = split.map(median);
        let sum = median(sums).expect("it ran");
        let row = Row {
            job: median(jobs).expect("it ran"),
            with_webp: median(webp_jobs).expect("it ran"),
            sum,
            complete: median(completes).expect("it ran"),
            floor: median(floors),
            plain: median(plain).expect("it ran"),
        };
        println!(
            "{:<34.34} {:>11} {:>6.1} | {:>6.1} {:>6.1} {:>6.1} {sum:>6.1} {:>8.1} | {:>6} {:>6} {:>6} | {:>6.1} {:>6.1} | {:>7} {:>6.1}",
            name,
            format!("{width}×{height}"),
            bytes.len() as f64 / 1e6,
            decode.unwrap_or_default(),
            scale.unwrap_or_default(),
            encode.unwrap_or_default(),
            row.complete,
            memory[0],
            memory[1],
            memory[2],
            row.job,
            row.job - sum,
            row.floor.map_or_else(|| "-".into(), |floor| format!("{floor:.1}")),
            row.plain / row.job,
        );
        row
    }
}

/// The argument that makes this program print the memory of one picture, read from its input.
const MEMORY_ARGUMENT: &str = "memory-of-stages";

/// The most memory that each stage has on top of what there was before the job, in MiB: of a process of its own, since
/// this one keeps what it once had.
fn memory(subject: &Subject) -> [String; 3] {
    let own = Command::new("/proc/self/exe")
        .args([MEMORY_ARGUMENT, subject.format.name()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let output = own.and_then(|mut child| {
        child.stdin.take().map_or(Ok(()), |mut input| input.write_all(&subject.bytes))?;
        child.wait_with_output()
    });
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let mut peaks = text.split_whitespace().map(str::to_owned);
    [(); 3].map(|()| peaks.next().unwrap_or_else(|| "-".into()))
}

fn tell_memory(format: &str) {
    let mut bytes = Vec::new();
    std::io::stdin().read_to_end(&mut bytes).expect("a picture comes in");
    let format = Format::ALL.into_iter().find(|known| known.name() == format).expect("a format has a name");
    let before = resident("VmRSS:");
    forget_peak();
    let made = Stages::default().make(&bytes, format, &pixels(), |_: Stage| {
        print!("{} ", resident("VmHWM:").saturating_sub(before) / 1024);
        forget_peak();
    });
    made.expect("a photograph can be decoded");
}

fn pixels() -> PixelConfig {
    PixelConfig {
        max_pixels: 200_000_000,
        job_timeout: Duration::from_secs(60),
        job_memory_bytes: 512 * 1024 * 1024,
        confinement: ConfinementMode::BestEffort,
        sizes: Sizes::default(),
        webp: WebpSizes::NONE,
    }
}

/// A value of this process's status in KiB.
fn resident(name: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or_default()
}

fn forget_peak() {
    // Without such a file in the kernel, peaks of stages run into each other.
    let _ = fs::write("/proc/self/clear_refs", "5");
}

/// Decoding at an eighth: next to nothing but reading the entropy code, which no program that decodes can save.
#[cfg(feature = "turbojpeg")]
fn floor(bytes: &[u8], format: Format) -> Option<Duration> {
    use turbojpeg::{Decompressor, Image, PixelFormat, ScalingFactor};
    if format != Format::Jpeg {
        return None;
    }
    let begun = Instant::now();
    let mut decompressor = Decompressor::new().ok()?;
    let header = decompressor.read_header(bytes).ok()?;
    decompressor.set_scaling_factor(ScalingFactor::ONE_EIGHTH).ok()?;
    let scaled = header.scaled(ScalingFactor::ONE_EIGHTH);
    let mut pixels = vec![0; scaled.width * 3 * scaled.height];
    let image = Image {
        pixels: &mut pixels[..],
        width: scaled.width,
        pitch: scaled.width * 3,
        height: scaled.height,
        format: PixelFormat::RGB,
    };
    decompressor.decompress(bytes, image).ok()?;
    Some(begun.elapsed())
}

#[cfg(not(feature = "turbojpeg"))]
fn floor(_bytes: &[u8], _format: Format) -> Option<Duration> {
    None
}

/// A straightforward program: decode all of it, scale each size from the whole, encode.
fn plain(bytes: &[u8], sizes: &Sizes) -> Duration {
    let begun = Instant::now();
    let picture = image::load_from_memory(bytes).expect("a photograph can be decoded");
    let picture = DynamicImage::from(picture.into_rgb8());
    for size in Size::ALL {
        let side = sizes.longest_side(size);
        let thumbnail = picture.resize(side, side, FilterType::Lanczos3);
        let encoder = JpegEncoder::new_with_quality(Vec::new(), 80);
        thumbnail.write_with_encoder(encoder).expect("a thumbnail can be encoded");
    }
    begun.elapsed()
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// The median in milliseconds.
fn median(mut times: Vec<Duration>) -> Option<f64> {
    times.sort();
    times.get(times.len() / 2).copied().map(milliseconds)
}
