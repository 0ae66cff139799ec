//! Pictures written by libjpeg-turbo.

use thumbnail_jpeg::{Decoder, Options, Refinement, Scale};
use turbojpeg::{Compressor, Image, PixelFormat, Subsamp, Transform, Transformer};

use thumbnail_jpeg_oracles::reference::{difference, planes, turbo};

const SAMPLINGS: [Subsamp; 7] = [
    Subsamp::None,
    Subsamp::Sub2x1,
    Subsamp::Sub2x2,
    Subsamp::Sub1x2,
    Subsamp::Sub4x1,
    Subsamp::Sub1x4,
    Subsamp::Gray,
];

/// Gradients, soft edges, texture and noise.
fn pixels(width: usize, height: usize) -> Vec<u8> {
    let places = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
    let pixel = |(x, y): (usize, usize)| {
        let noise = (x * 7919 + y * 104_729).wrapping_mul(2_654_435_761) >> 20 & 31;
        [x * 3 + y, x + 2 * y + (x / 40 % 2) * 90, 255 - x % 200 + y / 3]
            .map(|value| ((value + noise) % 256) as u8)
    };
    places.flat_map(pixel).collect()
}

fn files() -> impl Iterator<Item = (String, Vec<u8>)> {
    let kinds = SAMPLINGS
        .into_iter()
        .flat_map(|sampling| [(203, 141), (64, 64), (17, 9), (1, 1)].map(|sides| (sampling, sides)));
    kinds.flat_map(|(sampling, (width, height))| {
        [30, 75, 92, 100].into_iter().flat_map(move |quality| {
            [false, true].map(|is_progressive| {
                let mut compressor = Compressor::new().unwrap();
                compressor.set_subsamp(sampling).unwrap();
                compressor.set_quality(quality).unwrap();
                compressor.set_progressive(is_progressive).unwrap();
                compressor.set_optimize(quality == 75).unwrap();
                let pixels = pixels(width, height);
                let format = PixelFormat::RGB;
                let image = Image { pixels: &pixels[..], width, pitch: 3 * width, height, format };
                let name = format!("{sampling:?} {width}×{height} q{quality} progressive: {is_progressive}");
                (name, compressor.compress_to_vec(image).unwrap())
            })
        })
    })
}

#[test]
fn whole_planes_of_its_files_are_within_one_of_its_own() {
    for (name, file) in files() {
        let picture = Decoder::default().decode(&file, &Options::default()).unwrap();
        let expected = turbo(&file).unwrap();
        for (found, expected) in planes(&picture).into_iter().zip(&expected) {
            assert!(difference(found, expected) <= 1, "{name}: {}", difference(found, expected));
        }
    }
}

#[test]
fn a_transcoded_file_has_the_same_planes() {
    let mut decoder = Decoder::default();
    for (name, file) in files().filter(|(name, _)| name.ends_with("false")) {
        let mut transform = Transform::default();
        transform.progressive = true;
        let progressive = Transformer::new().unwrap().transform_to_vec(&transform, &file).unwrap();
        for scale in Scale::ALL {
            for halve_colour in [false, true] {
                let options = Options { scale, halve_colour, ..Options::default() };
                let (one, other) = (decoder.decode(&file, &options), decoder.decode(&progressive, &options));
                assert!(one.unwrap() == other.unwrap(), "{name} {scale:?}");
            }
        }
    }
}

#[test]
fn refinement_scans_are_left_out_only_where_quantisers_are_fine() {
    let mut decoder = Decoder::default();
    let is_large = |name: &str| name.contains("203×141") && name.ends_with("true");
    for (name, file) in files().filter(|(name, _)| is_large(name)) {
        let mut decode = |refinement| {
            let options = Options { scale: Scale::Quarter, refinement, ..Options::default() };
            decoder.decode(&file, &options).unwrap()
        };
        let (all, none) = (decode(Refinement::All), decode(Refinement::None));
        assert!(all != none, "{name}");
        let expected = if name.contains("q92") || name.contains("q100") { none } else { all };
        assert!(decode(Refinement::WhereVisible) == expected, "{name}");
    }
}
