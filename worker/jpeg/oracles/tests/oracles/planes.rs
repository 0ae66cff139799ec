//! The planes of pictures whose coefficients are known.

use proptest::prelude::*;
use thumbnail_jpeg::{Decoder, Options, Refinement, Scale};

use thumbnail_jpeg_oracles::reference::{difference, plain, planes, turbo};

use crate::pictures::{any_picture, sequential};

/// The largest distance of a sample from the number that it rounds.
const MOST_ROUNDING: f64 = 0.51;

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn whole_planes_are_within_one_of_those_of_libjpeg_turbo((coded, layout) in any_picture()) {
        let file = coded.write(&layout);
        let picture = Decoder::default().decode(&file, &Options::default()).unwrap();
        prop_assert_eq!((picture.width, picture.height), (coded.width, coded.height));
        // It has no planes of the rarest samplings.
        if let Some(expected) = turbo(&file) {
            let found = planes(&picture);
            prop_assert_eq!(found.len(), expected.len());
            for (found, expected) in found.into_iter().zip(&expected) {
                prop_assert!(difference(found, expected) <= 1, "{}", difference(found, expected));
            }
        } else {
            let sampling = (coded.components[0].h, coded.components[0].v);
            let colour = coded.components.get(1).map_or((1, 1), |colour| (colour.h, colour.v));
            let known = [((2, 2), (2, 1)), ((2, 2), (1, 2)), ((4, 2), (1, 1))];
            prop_assert!(known.contains(&(sampling, colour)), "libjpeg-turbo refuses {sampling:?} {colour:?}");
        }
    }

    #[test]
    fn smaller_planes_are_the_plain_transform_of_the_lowest_coefficients(
        (coded, layout) in any_picture(), scale in 0..Scale::ALL.len(), halve_colour: bool,
    ) {
        let scale = Scale::ALL[scale];
        let options = Options { scale, halve_colour, ..Options::default() };
        let picture = Decoder::default().decode(&coded.write(&layout), &options).unwrap();
        let most = (coded.components[0].h, coded.components[0].v);
        for (index, (plane, component)) in planes(&picture).into_iter().zip(&coded.components).enumerate() {
            let n = scale.samples();
            let halved = |own, most| if halve_colour && index > 0 && own == most && n.is_multiple_of(2) { n / 2 } else { n };
            let sides = (halved(component.h, most.0), halved(component.v, most.1));
            let expected = plain(&coded, component, sides);
            prop_assert_eq!(plane.samples.len(), expected.len());
            for (found, expected) in plane.samples.iter().zip(expected) {
                let distance = (f64::from(*found) - expected.clamp(0.0, 255.0)).abs();
                prop_assert!(distance <= MOST_ROUNDING, "{} is not {}", found, expected);
            }
            if index > 0 {
                let ratio = |brightness: usize, sampling: usize| brightness.div_ceil(sampling);
                let sides = (ratio(picture.brightness.width, picture.sampling.0),
                    ratio(picture.brightness.height, picture.sampling.1));
                prop_assert_eq!((plane.width, plane.height), sides);
            }
        }
    }

    #[test]
    fn a_progressive_picture_is_the_same_as_a_sequential_one(
        (coded, layout) in any_picture(), halve_colour: bool,
    ) {
        let (file, plain) = (coded.write(&layout), coded.write(&sequential(&coded)));
        let mut decoder = Decoder::default();
        for scale in Scale::ALL {
            let options = Options { scale, halve_colour, ..Options::default() };
            let expected = decoder.decode(&plain, &options).unwrap();
            prop_assert!(decoder.decode(&file, &options).unwrap() == expected, "{:?}", scale);
            prop_assert!(Decoder::portable().decode(&file, &options).unwrap() == expected, "{:?}", scale);
        }
    }

    #[test]
    fn without_refinement_every_sample_is_near((coded, layout) in any_picture()) {
        let file = coded.write(&layout);
        let (mut decoder, exact) = (Decoder::default(), Options { scale: Scale::Half, ..Options::default() });
        let expected = decoder.decode(&file, &exact).unwrap();
        let found = decoder.decode(&file, &Options { refinement: Refinement::None, ..exact }).unwrap();
        // Half of the largest step of 8 for each coefficient.
        let steps: f64 = coded.components.iter().flat_map(|component| component.quantisers).map(f64::from).sum();
        for (one, other) in planes(&expected).into_iter().zip(planes(&found)) {
            prop_assert!(f64::from(difference(one, other)) <= steps, "{}", difference(one, other));
        }
    }
}
