//! JPEGs that are never converted, in every sampling, beside those that are.

use image::{DynamicImage, RgbImage, metadata};
use proptest::prelude::*;
use turbojpeg::Subsamp;

use super::*;
use crate::{
    probe,
    thumbnail::{
        pixels::{Layout, Pixels},
        planes::Planes,
    },
};

const SAMPLINGS: [Subsamp; 7] = [
    Subsamp::None,
    Subsamp::Sub2x1,
    Subsamp::Sub2x2,
    Subsamp::Sub1x2,
    Subsamp::Sub4x1,
    Subsamp::Sub1x4,
    Subsamp::Gray,
];

/// The thumbnails of an ordinary photograph in each sampling.
fn decoded(file: &[u8], least: (u32, u32)) -> Picture {
    let header = probe::probe(Cursor::new(file), Format::Jpeg).unwrap();
    decode::first_frame(Some(&mut thumbnail_jpeg::Decoder::default()), file, &header, least).unwrap().picture
}

#[test]
fn ordinary_photographs_stay_in_planes() {
    for sampling in SAMPLINGS.into_iter().filter(|sampling| *sampling != Subsamp::Gray) {
        let file = samples::sampled(&samples::scenery(181, 77), sampling, Orientation::Upright);
        for (least, sides) in
            [((181, 77), (181, 77)), ((80, 30), (136, 58)), ((70, 30), (91, 39)), ((10, 5), (23, 10))]
        {
            let Picture::Planes(planes) = decoded(&file, least) else { panic!("{sampling:?}") };
            assert_eq!(planes.sides(), sides, "{sampling:?}");
            let (across, down) = planes.sampling;
            for plane in &planes.colour {
                let expected = (sides.0.div_ceil(across), sides.1.div_ceil(down));
                assert_eq!((plane.width, plane.height), expected, "{sampling:?}");
                assert_eq!(plane.bytes.len(), plane.width as usize * plane.height as usize);
            }
            assert_eq!(planes.brightness.bytes.len(), sides.0 as usize * sides.1 as usize);
        }
    }
}

#[test]
fn pictures_that_need_conversion_become_pixels() {
    let picture = samples::corners(181, 77);
    let plain = |sampling| samples::sampled(&picture, sampling, Orientation::Upright);
    let p3 = moxcms::ColorProfile::new_display_p3().encode().unwrap();
    let srgb = moxcms::ColorProfile::new_srgb().encode().unwrap();
    let with = |profile| samples::encode_with_profile(Format::Jpeg, &picture.clone().into(), profile);
    let is_pixels = |file: &[u8]| matches!(decoded(file, (20, 10)), Picture::Pixels(_));
    assert!(is_pixels(&plain(Subsamp::Gray)));
    assert!(!is_pixels(&plain(Subsamp::None)));
    assert!(is_pixels(&with(p3)));
    assert!(!is_pixels(&with(srgb)));
    let mut compressor = turbojpeg::Compressor::new().unwrap();
    compressor.set_colorspace(turbojpeg::Colorspace::RGB).unwrap();
    let rgb = turbojpeg::Image {
        pixels: picture.as_raw().as_slice(),
        width: 181,
        pitch: 181 * 3,
        height: 77,
        format: turbojpeg::PixelFormat::RGB,
    };
    assert!(is_pixels(&compressor.compress_to_vec(rgb).unwrap()));
}

/// Brightness, blue and red of each pixel.
fn ycbcr(picture: &RgbImage) -> [Vec<f64>; 3] {
    let weigh = |weights: [f64; 3]| {
        let value =
            |pixel: &Rgb<u8>| (0..3).map(|channel| f64::from(pixel.0[channel]) * weights[channel]).sum();
        picture.pixels().map(value).collect()
    };
    [weigh([0.299, 0.587, 0.114]), weigh([-0.168_736, -0.331_264, 0.5]), weigh([0.5, -0.418_688, -0.081_312])]
}

/// How alike two pictures are in brightness, blue and red, in dB.
fn likeness(one: &DynamicImage, other: &DynamicImage) -> [f64; 3] {
    let (one, other) = (ycbcr(&one.to_rgb8()), ycbcr(&other.to_rgb8()));
    std::array::from_fn(|plane| {
        let differences = one[plane].iter().zip(&other[plane]).map(|(a, b)| (a - b).powi(2));
        let mean = differences.sum::<f64>() / one[plane].len() as f64;
        10.0 * (255.0 * 255.0 / mean.max(0.01)).log10()
    })
}

/// The most that colours may lose: in thumbnails this small they are so few samples that rounding alone costs a
/// decibel. Colours that are shifted by half a sample lose several decibels.
const MOST_LOSS_OF_COLOUR_DB: f64 = 1.5;

#[test]
fn every_sampling_lying_any_way_is_as_good_as_scaled_from_the_whole_picture() {
    let sizes: Sizes = "small=37,medium=75,large=151".parse().unwrap();
    for (width, height) in [(301, 203), (151, 99), (97, 61), (640, 427)] {
        let picture = samples::scenery(width, height);
        for (sampling, orientation) in
            SAMPLINGS.into_iter().flat_map(|sampling| Orientation::ALL.map(|lies| (sampling, lies)))
        {
            let file = samples::sampled(&picture, sampling, orientation);
            let mut whole = image::load_from_memory(&file).unwrap();
            whole.apply_orientation(metadata::Orientation::from_exif(orientation as u8).unwrap());
            let whole = whole.to_rgb8();
            let whole = Pixels {
                width: whole.width(),
                height: whole.height(),
                layout: Layout::Rgb,
                bytes: whole.into_raw(),
            };
            for thumbnail in make(&file, &Recipe { sizes, ..recipe(Format::Jpeg) }).unwrap().thumbnails {
                let sides = (thumbnail.width, thumbnail.height);
                let ideal = Scaler::default().shrink_from(&whole, sides).unwrap();
                let reference = encoded(thumbnail.size, Format::Jpeg, Picture::Pixels(ideal.clone()));
                let ideal = RgbImage::from_raw(ideal.width, ideal.height, ideal.bytes).unwrap().into();
                let reference = likeness(&opened(&reference), &ideal);
                let found = likeness(&opened(&thumbnail), &ideal);
                let loss: [f64; 3] = std::array::from_fn(|plane| reference[plane] - found[plane]);
                println!(
                    "{width} {sampling:?} {orientation:?} {}: {found:.1?} of {reference:.1?}",
                    thumbnail.size
                );
                assert!(
                    loss[0] < MOST_LOSS_DB && loss[1].max(loss[2]) < MOST_LOSS_OF_COLOUR_DB,
                    "{width} {sampling:?} {orientation:?} {}: {found:.1?} of {reference:.1?}",
                    thumbnail.size
                );
            }
        }
    }
}

#[test]
fn planes_are_converted_by_the_equations_of_jfif() {
    let plane = |bytes: Vec<u8>, width, height| Pixels { width, height, layout: Layout::Grey, bytes };
    // JFIF's numbers for white, black, red, green, blue, with colour for each pixel.
    let colours = [
        ([255, 128, 128], [255, 255, 255]),
        ([0, 128, 128], [0, 0, 0]),
        ([76, 85, 255], [254, 0, 0]),
        ([150, 44, 21], [0, 255, 1]),
        ([29, 255, 107], [0, 0, 254]),
    ];
    for ([brightness, blue, red], expected) in colours {
        let planes = Planes {
            brightness: plane(vec![brightness; 3], 3, 1),
            colour: [plane(vec![blue; 2], 2, 1), plane(vec![red; 2], 2, 1)],
            sampling: (2, 2),
        };
        assert_eq!(planes.into_pixels().bytes, expected.repeat(3));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    /// Samples beyond the picture must not be visible at its edges.
    #[test]
    fn a_picture_of_one_colour_stays_so_to_its_edges(
        width in 1u32..200, height in 1u32..200, which in 0usize..7, side in 1u32..100, lies in 0usize..8,
    ) {
        let picture = RgbImage::from_pixel(width, height, Rgb([200, 60, 30]));
        let file = samples::sampled(&picture, SAMPLINGS[which], Orientation::ALL[lies]);
        let sizes = format!("small={},medium={side},large={}", side.div_ceil(3), side * 2).parse().unwrap();
        for thumbnail in make(&file, &Recipe { sizes, ..recipe(Format::Jpeg) }).unwrap().thumbnails {
            let grey = if SAMPLINGS[which] == Subsamp::Gray { Some(99) } else { None };
            for pixel in opened(&thumbnail).to_rgb8().pixels() {
                let expected = grey.map_or([200, 60, 30], |grey| [grey; 3]);
                let near = pixel.0.iter().zip(expected).all(|(found, expected)| found.abs_diff(expected) <= 6);
                prop_assert!(near, "{:?} is not near {expected:?}", pixel.0);
            }
        }
    }
}
