use image::{DynamicImage, GenericImageView, Luma, LumaA, Rgb, RgbImage, Rgba, RgbaImage};

use proptest::prelude::*;

use super::*;
use crate::{probe::Orientation, thumbnail::samples::WRITTEN};

fn make(original: &[u8], recipe: &Recipe) -> Result<ThumbnailSet, ThumbnailError> {
    super::make(&mut Tools::default(), original, recipe, |_| {})
}

/// Encodes one thumbnail.
fn encoded(size: Size, format: Format, picture: Picture) -> Thumbnail {
    let begun = encode::begin(size, &recipe(format), picture, None);
    begun.encode().and_then(encode::Encoded::finish).unwrap()
}

#[test]
fn with_a_thread_for_webp_the_thumbnails_are_the_same() {
    let mut tools = Tools::with_webp_thread(Some(WebpThread::start().unwrap()));
    let photograph = DynamicImage::from(samples::scenery(900, 700));
    let mut clear = photograph.to_rgba8();
    clear.pixels_mut().step_by(3).for_each(|pixel| pixel.0[3] = 100);
    let clear = DynamicImage::from(clear);
    for (format, picture) in [(Format::Jpeg, &photograph), (Format::Png, &photograph), (Format::Png, &clear)]
    {
        let file = samples::encode(format, picture, None);
        let recipe = Recipe { webp: "small,medium,large".parse().unwrap(), ..recipe(format) };
        let made = super::make(&mut tools, &file, &recipe, |_| {}).unwrap();
        if format == Format::Jpeg {
            assert!(made.thumbnails.iter().any(|thumbnail| thumbnail.webp.is_some()));
        }
        assert_eq!(made, make(&file, &recipe).unwrap(), "{format}");
    }
}

fn recipe(format: Format) -> Recipe {
    Recipe { format, sizes: Sizes::default(), webp: WebpSizes::default(), max_pixels: 100_000_000 }
}

fn made(format: Format, file: &[u8]) -> ThumbnailSet {
    make(file, &recipe(format)).unwrap_or_else(|error| panic!("{format}: {error} {:?}", error.detail()))
}

/// The thumbnail, decoded by `image`.
fn opened(thumbnail: &Thumbnail) -> DynamicImage {
    let format = match thumbnail.encoding {
        Encoding::Jpeg => image::ImageFormat::Jpeg,
        Encoding::Png => image::ImageFormat::Png,
        Encoding::WebP => image::ImageFormat::WebP,
    };
    let picture = image::load_from_memory_with_format(&thumbnail.bytes, format).unwrap();
    assert_eq!(picture.dimensions(), (thumbnail.width, thumbnail.height));
    picture
}

fn assert_near(found: [u8; 4], expected: [u8; 4], what: &str) {
    let near = found.iter().zip(expected).all(|(found, expected)| found.abs_diff(expected) <= 12);
    assert!(near, "{what}: {found:?} is not near {expected:?}");
}

/// Colours at the middle of each quarter, from the top left, clockwise.
fn quarters(picture: &DynamicImage) -> [[u8; 4]; 4] {
    let (width, height) = picture.dimensions();
    let at = |x: u32, y: u32| picture.get_pixel(width * x / 4, height * y / 4).0;
    [at(1, 1), at(3, 1), at(3, 3), at(1, 3)]
}

const RED: [u8; 4] = [255, 0, 0, 255];
const GREEN: [u8; 4] = [0, 255, 0, 255];
const BLUE: [u8; 4] = [0, 0, 255, 255];
const YELLOW: [u8; 4] = [255, 255, 0, 255];

#[test]
fn every_format_gives_three_thumbnails() {
    let picture = DynamicImage::from(samples::corners(1500, 900));
    for format in WRITTEN {
        let made = made(format, &samples::encode(format, &picture, None));
        assert_eq!((made.width, made.height), (1500, 900), "{format}");
        let sides =
            made.thumbnails.each_ref().map(|thumbnail| (thumbnail.size, thumbnail.width, thumbnail.height));
        let expected = [(Size::Small, 160, 96), (Size::Medium, 480, 288), (Size::Large, 1024, 614)];
        assert_eq!(sides, expected, "{format}");
        // Fields of one colour are shorter as PNG, unless a JPEG has made noise of them.
        let encoding = if format == Format::Jpeg { Encoding::Jpeg } else { Encoding::Png };
        for thumbnail in &made.thumbnails {
            assert_eq!(thumbnail.encoding, encoding, "{format}");
            for (found, expected) in quarters(&opened(thumbnail)).into_iter().zip([RED, GREEN, BLUE, YELLOW])
            {
                assert_near(found, expected, format.name());
            }
        }
        assert!((5..=40).contains(&made.thumbhash.len()));
    }
}

#[test]
fn every_orientation_is_turned_upright() {
    // Read from the top left, clockwise.
    let displayed = [
        [RED, GREEN, BLUE, YELLOW],
        [GREEN, RED, YELLOW, BLUE],
        [BLUE, YELLOW, RED, GREEN],
        [YELLOW, BLUE, GREEN, RED],
        [RED, YELLOW, BLUE, GREEN],
        [YELLOW, RED, GREEN, BLUE],
        [BLUE, GREEN, RED, YELLOW],
        [GREEN, BLUE, YELLOW, RED],
    ];
    let picture = samples::corners(240, 120);
    let sizes: Sizes = "small=60,medium=80,large=160".parse().unwrap();
    for (orientation, expected) in Orientation::ALL.into_iter().zip(displayed) {
        for format in [Format::Jpeg, Format::Png, Format::WebP, Format::Tiff] {
            let file = if format == Format::Tiff {
                samples::tiff(&picture, orientation)
            } else {
                samples::encode(format, &picture.clone().into(), Some(samples::exif(orientation)))
            };
            let made = make(&file, &Recipe { sizes, ..recipe(format) }).unwrap();
            assert_eq!((made.width, made.height), orientation.displayed(240, 120));
            for thumbnail in &made.thumbnails {
                let opened = opened(thumbnail);
                assert_eq!(opened.width() < opened.height(), orientation.swaps_sides());
                for (found, expected) in quarters(&opened).into_iter().zip(expected) {
                    assert_near(found, expected, &format!("{format} {orientation:?} {}", thumbnail.size));
                }
            }
        }
    }
}

#[test]
fn no_dark_fringe_and_no_hidden_colour() {
    // A white disc; what is transparent hides loud magenta.
    let picture = RgbaImage::from_fn(1000, 1000, |x, y| {
        let inside = (x as f32 - 500.0).hypot(y as f32 - 500.0) < 400.0;
        if inside { Rgba([255; 4]) } else { Rgba([255, 0, 255, 0]) }
    });
    for format in [Format::Png, Format::WebP, Format::Tiff] {
        let made = made(format, &samples::encode(format, &picture.clone().into(), None));
        for thumbnail in &made.thumbnails {
            assert_eq!(thumbnail.encoding, Encoding::Png);
            let mut edges = 0;
            for pixel in opened(thumbnail).to_rgba8().pixels() {
                let [red, green, blue, alpha] = pixel.0;
                match alpha {
                    0 => assert_eq!(pixel.0, [0; 4], "hidden colour leaks"),
                    1..16 => {}
                    16..255 => {
                        edges += 1;
                        assert!(red.min(green).min(blue) > 225, "fringe of {:?}", pixel.0);
                    }
                    255 => assert_eq!(pixel.0, [255; 4]),
                }
            }
            assert_eq!(edges > 0, thumbnail.width < 1000, "an edge is soft once it is scaled");
        }
    }
}

#[test]
fn colour_kinds_are_all_understood() {
    let grey = |x: u32, width: u32| u16::try_from(x * 65535 / width).unwrap();
    let (width, height) = (700, 300);
    let kinds: [(DynamicImage, Encoding); 6] = [
        (
            image::GrayImage::from_fn(width, height, |x, _| Luma([(grey(x, width) >> 8) as u8])).into(),
            Encoding::Jpeg,
        ),
        (image::ImageBuffer::from_fn(width, height, |x, _| Luma([grey(x, width)])).into(), Encoding::Jpeg),
        (
            image::ImageBuffer::from_fn(width, height, |x, _| LumaA([(grey(x, width) >> 8) as u8, 128]))
                .into(),
            Encoding::Png,
        ),
        (
            image::ImageBuffer::from_fn(width, height, |x, _| LumaA([grey(x, width), 32896])).into(),
            Encoding::Png,
        ),
        (image::ImageBuffer::from_fn(width, height, |x, _| Rgb([grey(x, width); 3])).into(), Encoding::Jpeg),
        (
            image::ImageBuffer::from_fn(width, height, |x, _| {
                let grey = grey(x, width);
                Rgba([grey, grey, grey, u16::MAX])
            })
            .into(),
            Encoding::Jpeg,
        ),
    ];
    for (picture, encoding) in kinds {
        let made = made(Format::Png, &samples::encode(Format::Png, &picture, None));
        for thumbnail in &made.thumbnails {
            // A ramp without alpha may be shorter as PNG too.
            assert!(thumbnail.encoding == encoding || encoding == Encoding::Jpeg);
            let opened = opened(thumbnail);
            let alpha = if encoding == Encoding::Png { 128 } else { 255 };
            for quarter in [1, 2, 3] {
                let [red, green, blue, found] = opened.get_pixel(thumbnail.width * quarter / 4, 20).0;
                let expected = u8::try_from(quarter * 64).unwrap();
                assert_near([red, green, blue, found], [expected, expected, expected, alpha], "ramp");
            }
        }
    }
}

#[test]
fn extreme_shapes_keep_a_pixel_a_side() {
    for (width, height, large, small) in [
        (65535, 1, (1024, 1), (160, 1)),
        (1, 65535, (1, 1024), (1, 160)),
        (1, 1, (1, 1), (1, 1)),
        (3, 2000, (2, 1024), (1, 160)),
    ] {
        for format in [Format::Jpeg, Format::Png, Format::Gif, Format::Bmp, Format::Tiff] {
            let file = samples::encode(format, &samples::corners(width, height).into(), None);
            let made = made(format, &file);
            let [first, _, last] = &made.thumbnails;
            assert_eq!((last.width, last.height), large, "{format}");
            assert_eq!((first.width, first.height), small, "{format}");
            made.thumbnails.iter().for_each(|thumbnail| drop(opened(thumbnail)));
        }
    }
}

#[test]
fn nothing_is_enlarged() {
    let made = made(Format::Png, &samples::encode(Format::Png, &samples::corners(200, 100).into(), None));
    let sides = made.thumbnails.map(|thumbnail| (thumbnail.width, thumbnail.height));
    assert_eq!(sides, [(160, 80), (200, 100), (200, 100)]);
}

#[test]
fn thumbnails_carry_no_metadata() {
    let mut exif = samples::exif(Orientation::Upright);
    exif.extend(b"a secret place");
    for format in [Format::Jpeg, Format::Png, Format::WebP] {
        let file = samples::encode(format, &samples::corners(300, 200).into(), Some(exif.clone()));
        assert!(file.windows(14).any(|window| window == b"a secret place"));
        for thumbnail in made(format, &file).thumbnails {
            for mark in [b"secret".as_slice(), b"Exif", b"eXIf", b"ICC_PROFILE"] {
                assert!(!thumbnail.bytes.windows(mark.len()).any(|window| window == mark));
            }
        }
    }
}

#[test]
fn a_picture_over_the_limit_is_refused_by_name() {
    let file = samples::encode(Format::Png, &samples::corners(300, 200).into(), None);
    let error = make(&file, &Recipe { max_pixels: 59_999, ..recipe(Format::Png) }).unwrap_err();
    assert_eq!(error.code(), "too-many-pixels");
    assert_eq!(error.to_string(), "Too big: 60000 pixels. The limit is 59999 pixels.");
}

#[test]
fn damage_is_refused_by_name() {
    for format in WRITTEN {
        let file = samples::encode(format, &samples::corners(300, 200).into(), None);
        // A truncated JPEG is shown as far as it goes.
        let part = if format == Format::Jpeg { 100 } else { file.len() / 3 };
        for broken in [&file[..0], &file[..20], &file[..part]] {
            let error = make(broken, &recipe(format)).map(drop).unwrap_err();
            assert_eq!(error.code(), "cannot-be-decoded", "{format} {}", broken.len());
        }
    }
}

#[test]
fn a_truncated_jpeg_is_shown_as_far_as_it_goes() {
    let file = samples::encode(Format::Jpeg, &samples::corners(3000, 2000).into(), None);
    for (left, warnings) in [(file.len() - 2, vec![]), (file.len() * 3 / 4, vec![Warning::CutShort])] {
        let made = made(Format::Jpeg, &file[..left]);
        assert_near(quarters(&opened(&made.thumbnails[2]))[0], RED, "its first quarter");
        // Without libjpeg-turbo, nobody tells that something is missing.
        if cfg!(feature = "turbojpeg") {
            assert_eq!(made.warnings, warnings, "{left}");
        }
    }
}

#[test]
fn photographs_stay_jpeg_and_drawings_become_png() {
    for (picture, encoding) in [
        (samples::scenery(700, 500), Encoding::Jpeg),
        // Text on white: hardly any pixel differs from the one beside it.
        (
            RgbImage::from_fn(700, 500, |x, y| {
                Rgb([if (x / 2 + y / 3).is_multiple_of(17) { 20 } else { 255 }; 3])
            }),
            Encoding::Png,
        ),
    ] {
        let file = samples::encode(Format::Png, &picture.into(), None);
        // Not shrunk; shrinking makes soft edges, and what is shorter then depends on them.
        assert_eq!(made(Format::Png, &file).thumbnails[2].encoding, encoding);
    }
}

#[test]
fn every_opaque_picture_has_a_webp_unless_it_is_sharp_or_longer() {
    let text = |x: u32, y: u32| Rgb([if (x / 2 + y / 3).is_multiple_of(17) { 20 } else { 255 }; 3]);
    // Squares of two shades, hardly apart: PNG is half as long as JPEG, and WebP shorter still.
    let random =
        |x: u32, y: u32| (x.wrapping_mul(2_654_435_761) ^ y.wrapping_mul(2_246_822_519)).wrapping_mul(40_503);
    let squares = |x: u32, y: u32| Rgb([if random(x / 4, y / 4) >> 31 == 0 { 128 } else { 134 }; 3]);
    let stripes = |x: u32, _| if x % 4 < 2 { Rgb([220, 10, 20]) } else { Rgb([10, 20, 220]) };
    for (what, picture, encoding, has_webp) in [
        ("a photograph", samples::scenery(700, 500), Encoding::Jpeg, Some(true)),
        ("soft squares", RgbImage::from_fn(700, 500, squares), Encoding::Png, Some(true)),
        ("text", RgbImage::from_fn(700, 500, text), Encoding::Png, None),
        ("sharp stripes", RgbImage::from_fn(700, 500, stripes), Encoding::Png, Some(false)),
    ] {
        let file = samples::encode(Format::Png, &picture.into(), None);
        let recipe = Recipe { webp: "small,medium,large".parse().unwrap(), ..recipe(Format::Png) };
        let large = &make(&file, &recipe).unwrap().thumbnails[2];
        assert_eq!(large.encoding, encoding, "{what}");
        let webp = large.webp.as_ref().map(Vec::len);
        assert!(webp.is_none_or(|webp| webp < large.bytes.len()), "{what}: {webp:?}");
        assert!(
            has_webp.is_none_or(|has| has == webp.is_some()),
            "{what}: {webp:?} of {}",
            large.bytes.len()
        );
    }
}

#[cfg(feature = "turbojpeg")]
#[test]
fn only_sharp_colours_get_a_sample_for_each_pixel() {
    let noisy = |x: u32, y: u32| u8::try_from((x * 7919 + y * 104_729) % 29).unwrap();
    let lines = RgbImage::from_fn(400, 300, |x, y| {
        if x % 4 < 2 { Rgb([220 + noisy(x, y), 10, 20]) } else { Rgb([10, 20, 220 + noisy(x, y)]) }
    });
    for (picture, sampling) in
        [(lines, turbojpeg::Subsamp::None), (samples::scenery(400, 300), turbojpeg::Subsamp::Sub2x2)]
    {
        let file = samples::encode(Format::Png, &picture.into(), None);
        let made = made(Format::Png, &file);
        assert_eq!(turbojpeg::read_header(&made.thumbnails[2].bytes).unwrap().subsamp, sampling);
    }
}

#[test]
fn a_jpeg_of_thousands_of_scans_is_refused_before_it_is_decoded() {
    let file = samples::encode(Format::Jpeg, &samples::corners(300, 200).into(), None);
    let scan = file.windows(2).position(|window| window == [0xFF, 0xDA]).unwrap();
    let mut bomb = file[..file.len() - 2].to_vec();
    for _ in 0..5000 {
        bomb.extend(&file[scan..file.len() - 2]);
    }
    bomb.extend([0xFF, 0xD9]);
    let error = make(&bomb, &recipe(Format::Jpeg)).unwrap_err();
    assert_eq!(error.detail(), Some("more than 100 scans"));
}

/// How alike two RGB pictures are in brightness, in dB; more is better.
fn psnr(one: &[u8], other: &[u8]) -> f64 {
    let luma = |bytes: &[u8]| -> Vec<u8> {
        let pixels = bytes.as_chunks::<3>().0.iter().map(|rgb| rgb.map(u32::from));
        pixels
            .map(|[red, green, blue]| u8::try_from((red * 299 + green * 587 + blue * 114) / 1000).unwrap())
            .collect()
    };
    let (one, other) = (luma(one), luma(other));
    assert_eq!(one.len(), other.len());
    let squares: u64 = one.iter().zip(&other).map(|(a, b)| u64::from(a.abs_diff(*b)).pow(2)).sum();
    10.0 * (255.0 * 255.0 * one.len() as f64 / squares.max(1) as f64).log10()
}

/// dB that the shortcuts may cost against scaling each thumbnail from the whole picture.
const MOST_LOSS_DB: f64 = 0.5;

#[test]
fn thumbnails_are_as_good_as_those_scaled_from_the_whole_picture() {
    let sizes: Sizes = "small=40,medium=120,large=256".parse().unwrap();
    for (width, height) in [(1050, 700), (725, 483), (650, 433), (2047, 1365), (475, 317), (275, 183)] {
        let picture = DynamicImage::from(samples::scenery(width, height));
        for format in [Format::Jpeg, Format::Png] {
            let file = samples::encode(format, &picture, None);
            let whole = image::load_from_memory(&file).unwrap().to_rgb8();
            let whole =
                pixels::Pixels { width, height, layout: pixels::Layout::Rgb, bytes: whole.into_raw() };
            for thumbnail in make(&file, &Recipe { sizes, ..recipe(format) }).unwrap().thumbnails {
                let ideal =
                    Scaler::default().shrink_from(&whole, (thumbnail.width, thumbnail.height)).unwrap();
                let reference = encoded(thumbnail.size, format, Picture::Pixels(ideal.clone()));
                let reference = psnr(opened(&reference).as_bytes(), &ideal.bytes);
                let found = psnr(opened(&thumbnail).as_bytes(), &ideal.bytes);
                println!("{width} {format} {}: {found:.2} dB of {reference:.2} dB", thumbnail.size);
                assert!(
                    found > reference - MOST_LOSS_DB,
                    "{width} {format} {}: {found} of {reference}",
                    thumbnail.size
                );
            }
        }
    }
}

/// The middle of the small thumbnail of a picture of one colour with this profile.
fn shown(format: Format, colour: [u8; 4], profile: Vec<u8>) -> [u8; 4] {
    let picture = RgbaImage::from_pixel(400, 300, Rgba(colour));
    let picture =
        if colour[3] == 255 { DynamicImage::from(picture).to_rgb8().into() } else { picture.into() };
    let file = samples::encode_with_profile(format, &picture, profile);
    let made = made(format, &file);
    opened(&made.thumbnails[0]).get_pixel(80, 60).0
}

#[test]
fn profiles_are_converted_to_srgb() {
    let mut swapped = moxcms::ColorProfile::new_srgb();
    std::mem::swap(&mut swapped.red_colorant, &mut swapped.blue_colorant);
    // Without this mark the profile is read by its colorants.
    swapped.cicp = None;
    let swapped = swapped.encode().unwrap();
    for format in [Format::Jpeg, Format::Png] {
        assert_near(shown(format, [250, 60, 10, 255], swapped.clone()), [10, 60, 250, 255], "swapped");
    }
    let half = shown(Format::Png, [250, 60, 10, 128], swapped);
    assert_near(half, [10, 60, 250, 128], "swapped under alpha");

    // Values from the matrices of the standards: Display P3 (200, 100, 50), Adobe RGB (100, 150, 200) and ProPhoto RGB
    // (130, 100, 90) in sRGB.
    let p3 = moxcms::ColorProfile::new_display_p3().encode().unwrap();
    let adobe = moxcms::ColorProfile::new_adobe_rgb().encode().unwrap();
    let pro_photo = moxcms::ColorProfile::new_pro_photo_rgb().encode().unwrap();
    for format in [Format::Jpeg, Format::Png] {
        assert_near(shown(format, [200, 100, 50, 255], p3.clone()), [215, 95, 32, 255], "Display P3");
        assert_near(shown(format, [100, 150, 200, 255], adobe.clone()), [65, 151, 202, 255], "Adobe RGB");
        assert_near(
            shown(format, [130, 100, 90, 255], pro_photo.clone()),
            [174, 111, 107, 255],
            "ProPhoto RGB",
        );
    }
}

#[test]
fn a_grey_profile_is_converted() {
    let linear = moxcms::ColorProfile::new_gray_with_gamma(1.0).encode().unwrap();
    let picture = DynamicImage::from(image::GrayImage::from_pixel(400, 300, Luma([55])));
    let made = made(Format::Png, &samples::encode_with_profile(Format::Png, &picture, linear));
    assert_near(opened(&made.thumbnails[0]).get_pixel(80, 60).0, [128, 128, 128, 255], "linear grey");
}

#[test]
fn a_broken_or_foreign_profile_is_ignored() {
    let whole = moxcms::ColorProfile::new_display_p3().encode().unwrap();
    let grey = moxcms::ColorProfile::new_gray_with_gamma(1.0).encode().unwrap();
    for profile in [whole[..100].to_vec(), b"no profile at all".to_vec(), vec![0xFF; 70_000], grey] {
        for format in [Format::Jpeg, Format::Png] {
            assert_near(shown(format, [200, 100, 50, 255], profile.clone()), [200, 100, 50, 255], "ignored");
        }
    }
}

#[test]
fn an_srgb_profile_changes_nothing() {
    let profile = moxcms::ColorProfile::new_srgb().encode().unwrap();
    let picture = DynamicImage::from(samples::corners(400, 300));
    let plain = made(Format::Jpeg, &samples::encode(Format::Jpeg, &picture, None));
    let marked = made(Format::Jpeg, &samples::encode_with_profile(Format::Jpeg, &picture, profile));
    assert_eq!(plain, marked);
}

#[cfg(feature = "turbojpeg")]
#[test]
fn inks_become_colours() {
    // Light, not ink, as JPEG stores it: red, green, blue, black.
    for (ink, colour) in [
        ([255, 0, 0, 255], RED),
        ([0, 255, 0, 255], GREEN),
        ([0, 0, 255, 255], BLUE),
        ([255, 255, 255, 0], [0, 0, 0, 255]),
        ([255, 255, 255, 255], [255; 4]),
    ] {
        for space in [turbojpeg::Colorspace::CMYK, turbojpeg::Colorspace::YCCK] {
            let mut compressor = turbojpeg::Compressor::new().unwrap();
            compressor.set_colorspace(space).unwrap();
            let image = turbojpeg::Image {
                pixels: ink.repeat(3000 * 200),
                width: 3000,
                pitch: 12_000,
                height: 200,
                format: turbojpeg::PixelFormat::CMYK,
            };
            let made = made(Format::Jpeg, &compressor.compress_to_vec(image.as_deref()).unwrap());
            assert_eq!((made.width, made.height), (3000, 200));
            let thumbnail = &made.thumbnails[2];
            assert_near(opened(thumbnail).get_pixel(500, 30).0, colour, &format!("{ink:?} {space:?}"));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn any_sides_in_any_format_keep_their_shape(
        width in 1u32..400, height in 1u32..400, which in 0usize..6, side in 1u32..300, lies in 0usize..8,
    ) {
        let (format, orientation) = (WRITTEN[which], Orientation::ALL[lies]);
        let picture = samples::corners(width, height);
        let file = match format {
            Format::Gif | Format::Bmp => samples::encode(format, &picture.into(), None),
            format => samples::oriented(format, &picture, orientation),
        };
        let sizes = format!("small={},medium={side},large={}", side.div_ceil(3), side * 2).parse().unwrap();
        let made = make(&file, &Recipe { sizes, ..recipe(format) }).unwrap();
        for thumbnail in &made.thumbnails {
            let (width, height) = (f64::from(thumbnail.width), f64::from(thumbnail.height));
            let longest = sizes.longest_side(thumbnail.size);
            prop_assert!(thumbnail.width >= 1 && thumbnail.height >= 1);
            prop_assert!(thumbnail.width.max(thumbnail.height) <= longest.max(1));
            prop_assert!(thumbnail.width <= made.width && thumbnail.height <= made.height, "enlarged");
            let scale = f64::from(thumbnail.width.max(thumbnail.height)) / f64::from(made.width.max(made.height));
            prop_assert!((width - f64::from(made.width) * scale).abs() <= 1.0);
            prop_assert!((height - f64::from(made.height) * scale).abs() <= 1.0);
            opened(thumbnail);
        }
    }
}

#[cfg(any(feature = "heic", feature = "avif"))]
mod heif;
#[cfg(feature = "turbojpeg")]
mod planes;
