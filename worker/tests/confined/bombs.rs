//! Decompression bombs. Each fails with the right code, within the limits of a job, and does not affect other jobs.

use std::time::{Duration, Instant};

use image::{DynamicImage, Frame, GrayImage, ImageFormat, codecs::gif::GifEncoder};
use worker::{
    Format,
    config::PixelConfig,
    confinement::{Launch, Priority},
    maker::{MakeError, Maker, ThumbnailSet},
};

use crate::support::{AVIF, HEIC, encoded, in_every_format, launch, maker, picture, pixels, reason};

/// Longer than any bomb takes, shorter than a job may.
const SOON: Duration = Duration::from_secs(20);

/// Failures of these formats, also in builds without them.
const HEIC_FAILS: &str = if cfg!(feature = "heic") { "cannot-be-decoded" } else { "unsupported-kind" };
const AVIF_FAILS: &str = if cfg!(feature = "avif") { "cannot-be-decoded" } else { "unsupported-kind" };

/// Sets a bomb off while a neighbour is at work.
async fn set_off(maker: &Maker, bomb: Vec<u8>, format: Format) -> Result<ThumbnailSet, MakeError> {
    let neighbour = encoded(&picture(640, 480), ImageFormat::Jpeg);
    let begun = Instant::now();
    let (made, unharmed) = tokio::join!(
        maker.make(bomb.into(), format, Priority::Normal),
        maker.make(neighbour.clone().into(), Format::Jpeg, Priority::Normal)
    );
    assert!(begun.elapsed() < SOON, "{format} took {:?}", begun.elapsed());
    unharmed.expect("the neighbour is unharmed");
    maker.make(neighbour.into(), Format::Jpeg, Priority::Normal).await.expect("and so is who comes next");
    made
}

fn jpeg_header(width: u16, height: u16) -> Vec<u8> {
    let mut file = encoded(&picture(64, 64), ImageFormat::Jpeg);
    let frame = file.windows(2).position(|window| window == [0xff, 0xc0]).unwrap();
    file[frame + 5..frame + 7].copy_from_slice(&height.to_be_bytes());
    file[frame + 7..frame + 9].copy_from_slice(&width.to_be_bytes());
    file
}

/// A chunk of a PNG, with its check value.
fn chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let body = [kind, data].concat();
    let crc = !body.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| crc >> 1 ^ if crc & 1 == 1 { 0xedb8_8320 } else { 0 })
    });
    [&u32::try_from(data.len()).unwrap().to_be_bytes(), &body[..], &crc.to_be_bytes()].concat()
}

/// A PNG with these dimensions, bits and colour type, and this deflate stream as its pixels.
fn png(width: u32, height: u32, bits: u8, colour: u8, before: &[u8], pixels: &[u8]) -> Vec<u8> {
    let header = [&width.to_be_bytes(), &height.to_be_bytes(), &[bits, colour, 0, 0, 0][..]].concat();
    let chunks =
        [chunk(b"IHDR", &header), before.to_vec(), chunk(b"IDAT", pixels), chunk(b"IEND", &[])].concat();
    [b"\x89PNG\r\n\x1a\n", &chunks[..]].concat()
}

/// A deflate stream of at least `rows` rows of zeroes, taken from an encoder.
fn zeroes(rows: u32) -> Vec<u8> {
    let file = encoded(&DynamicImage::from(GrayImage::new(10_000, rows)), ImageFormat::Png);
    let mut stream = Vec::new();
    let mut rest = &file[8..];
    while let [a, b, c, d, kind @ ..] = rest {
        let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
        if kind.starts_with(b"IDAT") {
            stream.extend(&kind[4..4 + length]);
        }
        rest = &kind[4 + length + 4..];
    }
    stream
}

fn gif_header(width: u16, height: u16) -> Vec<u8> {
    let mut file = encoded(&picture(64, 64), ImageFormat::Gif);
    file[6..8].copy_from_slice(&width.to_le_bytes());
    file[8..10].copy_from_slice(&height.to_le_bytes());
    file
}

/// Lossless, 34 bytes.
fn webp_header(width: u32, height: u32) -> Vec<u8> {
    let bits = (width - 1) | (height - 1) << 14;
    [b"RIFF\x1a\0\0\0WEBPVP8L\x0d\0\0\0\x2f", &bits.to_le_bytes()[..], &[0; 8]].concat()
}

fn bmp_header(width: u32, height: u32) -> Vec<u8> {
    let mut file = encoded(&picture(64, 64), ImageFormat::Bmp);
    file[18..22].copy_from_slice(&width.to_le_bytes());
    file[22..26].copy_from_slice(&height.to_le_bytes());
    file
}

/// A TIFF with one missing strip and `bits` bits for each of four samples.
fn tiff_header(width: u32, height: u32, bits: u32, compression: u32) -> Vec<u8> {
    let bytes = width.saturating_mul(height).saturating_mul(4 * bits / 8);
    let entries: [[u32; 4]; 10] = [
        [256, 4, 1, width],
        [257, 4, 1, height],
        [258, 3, 4, 134],
        [259, 3, 1, compression],
        [262, 3, 1, 2],
        [273, 4, 1, 8],
        [277, 3, 1, 4],
        [278, 4, 1, height],
        [279, 4, 1, bytes],
        [338, 3, 1, 2],
    ];
    let mut file = b"II\x2a\0\x08\0\0\0\x0a\0".to_vec();
    for [tag, kind, count, value] in entries {
        file.extend(u16::try_from(tag).unwrap().to_le_bytes());
        file.extend(u16::try_from(kind).unwrap().to_le_bytes());
        file.extend(count.to_le_bytes());
        file.extend(value.to_le_bytes());
    }
    file.extend([0; 4]);
    assert_eq!(file.len(), 134);
    file.extend(u16::try_from(bits).unwrap().to_le_bytes().repeat(4));
    file
}

/// A HEIC or an AVIF of these sides in its description, whose pixels are those of a sample.
fn heif_header(sample: &[u8], width: u32, height: u32) -> Vec<u8> {
    let mut file = sample.to_vec();
    // Behind its type: version and flags, width, height.
    let sides = file.windows(4).position(|window| window == b"ispe").unwrap() + 8;
    file[sides..sides + 8].copy_from_slice(&[width.to_be_bytes(), height.to_be_bytes()].concat());
    file
}

#[tokio::test]
async fn a_tiny_file_of_huge_sides_has_too_many_pixels_in_every_format() {
    let maker = maker();
    for (format, bomb) in [
        (Format::Jpeg, jpeg_header(65_535, 65_535)),
        (Format::Png, png(2_147_483_647, 2_147_483_647, 8, 2, &[], &[])),
        (Format::Gif, gif_header(65_535, 65_535)),
        (Format::WebP, webp_header(16_384, 16_384)),
        (Format::Bmp, bmp_header(2_147_483_647, 2_147_483_647)),
        (Format::Tiff, tiff_header(4_000_000_000, 4_000_000_000, 8, 1)),
        (Format::Heic, heif_header(HEIC, u32::MAX, u32::MAX)),
        (Format::Avif, heif_header(AVIF, u32::MAX, u32::MAX)),
        (Format::Heic, heif_header(HEIC, 1_000_000, 101)),
        (Format::Avif, heif_header(AVIF, 101, 1_000_000)),
    ] {
        assert_eq!(reason(set_off(&maker, bomb, format).await).code(), "too-many-pixels", "{format}");
    }
}

#[tokio::test]
async fn a_tiny_file_just_below_the_pixel_limit_has_the_right_code_in_every_format() {
    let maker = maker();
    for (format, bomb, names) in [
        (Format::Png, png(9_990, 9_990, 16, 6, &[], &[0x78, 0x9c]), "too-much-memory"),
        (Format::Png, png(9_990, 9_990, 8, 2, &[], &[0x78, 0x9c]), "cannot-be-decoded"),
        (Format::WebP, webp_header(9_990, 9_990), "too-much-memory cannot-be-decoded"),
        (Format::Bmp, bmp_header(9_990, 9_990), "cannot-be-decoded"),
        (Format::Tiff, tiff_header(9_990, 9_990, 16, 1), "too-much-memory"),
        (Format::Tiff, tiff_header(9_990, 9_990, 64, 1), "unsupported-kind"),
        (Format::Tiff, tiff_header(9_990, 9_990, 8, 5), "too-much-memory cannot-be-decoded"),
        (Format::Heic, heif_header(HEIC, 9_990, 9_990), HEIC_FAILS),
        (Format::Avif, heif_header(AVIF, 9_990, 9_990), AVIF_FAILS),
    ] {
        let found = reason(set_off(&maker, bomb, format).await);
        println!("{format}: {found:?}");
        assert!(names.split(' ').any(|name| name == found.code()), "{format}: {found:?}");
    }
    // Decoders show the little that these two contain.
    for (format, bomb) in [(Format::Jpeg, jpeg_header(9_990, 9_990)), (Format::Gif, gif_header(9_990, 9_990))]
    {
        let made = set_off(&maker, bomb, format).await;
        println!("{format}: {:?}", made.as_ref().map(|made| made.width));
        assert!(made.is_ok() || reason(made).code() == "cannot-be-decoded", "{format}");
    }
}

#[tokio::test]
async fn thousands_of_scans_cannot_be_decoded() {
    let file = encoded(&picture(2000, 2000), ImageFormat::Jpeg);
    let scan = file.windows(2).position(|window| window == [0xff, 0xda]).unwrap();
    let empty = [&file[scan..scan + 14], &[0; 8]].concat();
    let bomb = [&file[..scan], &empty.repeat(5000), b"\xff\xd9"].concat();
    let error = reason(set_off(&maker(), bomb, Format::Jpeg).await);
    assert_eq!(error.detail(), Some("more than 100 scans"));
}

#[tokio::test]
async fn only_the_first_of_thousands_of_frames_is_decoded() {
    let frame = || Frame::new(DynamicImage::from(GrayImage::new(200, 200)).into_rgba8());
    let mut gif = Vec::new();
    GifEncoder::new_with_speed(&mut gif, 30).encode_frames((0..3000).map(|_| frame())).unwrap();
    let made = set_off(&maker(), gif, Format::Gif).await.unwrap();
    assert_eq!((made.width, made.height), (200, 200));
}

#[tokio::test]
async fn a_png_that_unpacks_to_a_thousand_times_its_size_stays_within_its_memory() {
    // All of its hundred megapixels are there, as zeroes.
    let pixels = zeroes(10_000);
    let bomb = png(10_000, 10_000, 8, 0, &[], &pixels);
    println!("{} bytes of PNG", bomb.len());
    set_off(&maker(), bomb, Format::Png).await.unwrap();
    // A colour profile that unpacks to as much, behind a small picture.
    let profile = chunk(b"iCCP", &[b"profile\0\0", &pixels[..]].concat());
    let small = image::load_from_memory(&encoded(&picture(1, 1), ImageFormat::Png)).unwrap();
    let bomb = encoded(&small, ImageFormat::Png);
    let bomb = [&bomb[..33], &profile, &bomb[33..]].concat();
    let made = set_off(&maker(), bomb, Format::Png).await.unwrap();
    assert_eq!((made.width, made.height), (1, 1));
}

#[tokio::test]
async fn a_picture_beyond_the_memory_limit_is_reported() {
    let file = encoded(&picture(5000, 4000), ImageFormat::Png);
    let with = |job_memory_bytes| {
        let launch = Launch { job_memory_bytes, ..launch() };
        Maker::new(&PixelConfig { job_memory_bytes, ..pixels() }, launch)
    };
    set_off(&with(256 << 20), file.clone(), Format::Png).await.unwrap();
    let error = reason(set_off(&with(48 << 20), file, Format::Png).await);
    assert_eq!(error.code(), "too-much-memory");
}

#[tokio::test]
async fn a_picture_that_decodes_for_too_long_is_ended() {
    let pixels_for = |job_timeout| Maker::new(&PixelConfig { job_timeout, ..pixels() }, launch());
    // A hundred scans over a hundred megapixels.
    let mut file = jpeg_header(9_990, 9_990);
    let frame = file.windows(2).position(|window| window == [0xff, 0xc0]).unwrap();
    file[frame + 1] = 0xc2;
    let scan = file.windows(2).position(|window| window == [0xff, 0xda]).unwrap();
    let end = scan + 14;
    let first = [&file[scan..end - 2], &[0, 0][..], &[0; 64]].concat();
    let bomb = [&file[..scan], &first.repeat(90), b"\xff\xd9"].concat();
    let maker = pixels_for(Duration::from_millis(100));
    maker.warm(1).await.unwrap();
    let begun = Instant::now();
    let error = reason(maker.make(bomb.into(), Format::Jpeg, Priority::Normal).await);
    println!("{error:?} after {:?}", begun.elapsed());
    assert!(["took-too-long", "cannot-be-decoded", "too-much-memory"].contains(&error.code()));
    assert!(begun.elapsed() < SOON);
}

#[tokio::test]
async fn random_bytes_behind_a_right_beginning_never_cost_more_than_their_job() {
    let maker = maker();
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    for (format, whole) in in_every_format(1) {
        for _ in 0..40 {
            let mut damaged = whole.clone();
            for _ in 0..1 + random() % 8 {
                let at = usize::try_from(random() % damaged.len() as u64).unwrap();
                damaged[at] = u8::try_from(random() % 256).unwrap();
            }
            match maker.make(damaged.into(), format, Priority::Normal).await {
                Ok(_) | Err(MakeError::Picture(_)) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }
}
