//! One HEVC picture.

use heifer_hevc_dec::{
    decoder::{DecodeOptions, decode_picture},
    nal::NalUnit,
    params::ParameterSets,
};
use heifer_isobmff::HeifFile;

use crate::{
    Error, Unsupported,
    frame::{Plane, Shape, Signal},
};

/// Decodes an item, and hands over its planes.
pub(crate) fn decode(
    file: &HeifFile<'_>,
    id: u32,
    max_pixels: u64,
    add: impl FnOnce(Shape, &[Plane<'_, u16>]) -> Result<(), Error>,
) -> Result<(), Error> {
    let stream = file.hevc_bitstream(id)?;
    let options = DecodeOptions { max_pixels, ..DecodeOptions::default() };
    let frame = decode_picture(&stream, options).map_err(Error::damaged)?;
    let sampling = match frame.chroma_format {
        0 => None,
        1 => Some((2, 2)),
        2 => Some((2, 1)),
        _ => Some((1, 1)),
    };
    if sampling.is_some() && frame.bit_depth[0] != frame.bit_depth[1] {
        return Err(Unsupported::Samples.into());
    }
    let bits = frame.bit_depth[0];
    if !(8..=12).contains(&bits) {
        return Err(Unsupported::Samples.into());
    }
    let (primaries, transfer) = colours(file, id);
    let signal =
        Signal { primaries, transfer, matrix: frame.matrix_coeffs.into(), full_range: frame.full_range };
    let planes: Vec<_> = (0..3)
        .filter(|plane| frame.widths[*plane] > 0)
        .map(|plane| Plane {
            samples: frame.planes[plane].as_slice(),
            stride: frame.widths[plane] as usize,
            width: frame.widths[plane],
            height: frame.heights[plane],
        })
        .collect();
    add(Shape { bits, sampling, signal }, &planes)
}

/// Primaries and transfer in the parameter sets of a coded picture; 2 is unspecified.
fn colours(file: &HeifFile<'_>, id: u32) -> (u16, u16) {
    let mut sets = ParameterSets::default();
    for unit in file.hevc_config(id).ok().flatten().into_iter().flat_map(|config| &config.nal_units) {
        // A unit that cannot be read here was read by the decoder, or failed there.
        let _ = NalUnit::parse(unit).and_then(|unit| sets.add(&unit));
    }
    let vui = sets.sps.iter().flatten().find_map(|set| set.vui.as_ref());
    vui.map_or((2, 2), |vui| (vui.colour_primaries.into(), vui.transfer_characteristics.into()))
}
