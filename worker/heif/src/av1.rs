//! One AV1 picture.

use heifer_isobmff::HeifFile;
use re_rav1d::dav1d::{Decoder, Error as Av1Error, Picture, PixelLayout, PlanarImageComponent, Settings};

use crate::{
    Error,
    frame::{Plane, Shape},
};

mod sequence;

/// Decodes an item, and hands over its planes.
pub(crate) fn decode(
    file: &HeifFile<'_>,
    id: u32,
    max_pixels: u64,
    add: impl FnOnce(Shape, Planes<'_>) -> Result<(), Error>,
) -> Result<(), Error> {
    let data = file.item_data(id)?.into_owned();
    if data.is_empty() {
        return Err(Error::Damaged("an item has no bytes".to_owned()));
    }
    let signal = sequence::signal(&data);
    let picture = picture(data, max_pixels)?;
    let (sampling, planes) = match picture.pixel_layout() {
        PixelLayout::I400 => (None, 1),
        PixelLayout::I420 => (Some((2, 2)), 3),
        PixelLayout::I422 => (Some((2, 1)), 3),
        PixelLayout::I444 => (Some((1, 1)), 3),
    };
    let bits = picture.bits_per_component().map_or(8, |bits| bits.0);
    let bits = u8::try_from(bits).map_err(Error::damaged)?;
    let shape = Shape { bits, sampling, signal };
    let components = [PlanarImageComponent::Y, PlanarImageComponent::U, PlanarImageComponent::V];
    let data: Vec<_> = components.into_iter().take(planes).map(|plane| picture.plane(plane)).collect();
    let sides = |plane: usize| {
        let (across, down) = if plane == 0 { (1, 1) } else { sampling.unwrap_or((1, 1)) };
        (picture.width().div_ceil(across), picture.height().div_ceil(down))
    };
    let places = data.iter().zip(components).enumerate();
    if picture.bit_depth() == 8 {
        let planes: Vec<_> = places
            .map(|(at, (plane, component))| {
                let (width, height) = sides(at);
                Plane { samples: &plane[..], stride: picture.stride(component) as usize, width, height }
            })
            .collect();
        add(shape, Planes::Bytes(&planes))
    } else {
        let planes: Vec<_> = places
            .map(|(at, (plane, component))| {
                let (width, height) = sides(at);
                let samples = plane.as_chunks::<2>().0;
                Plane { samples, stride: picture.stride(component) as usize / 2, width, height }
            })
            .collect();
        add(shape, Planes::Words(&planes))
    }
}

/// The planes of a picture, by the type of their samples.
pub(crate) enum Planes<'a> {
    Bytes(&'a [Plane<'a, u8>]),
    Words(&'a [Plane<'a, [u8; 2]>]),
}

fn picture(data: Vec<u8>, max_pixels: u64) -> Result<Picture, Error> {
    let mut settings = Settings::new();
    // The sandbox has one thread, and a single frame needs no more.
    settings.set_n_threads(1);
    settings.set_max_frame_delay(1);
    // Only the best layer of a layered picture is decoded.
    settings.set_all_layers(false);
    // Checked before memory is allocated; 0 would be no limit.
    settings.set_frame_size_limit(u32::try_from(max_pixels).unwrap_or(u32::MAX).max(1));
    let mut decoder = Decoder::with_settings(&settings).map_err(Error::damaged)?;
    let mut sent = decoder.send_data(data, None, None, None);
    loop {
        match decoder.get_picture() {
            Err(Av1Error::Again) => {}
            found => return found.map_err(Error::damaged),
        }
        match sent {
            Err(Av1Error::Again) => sent = decoder.send_pending_data(),
            Err(error) => return Err(Error::damaged(error)),
            Ok(()) => return decoder.get_picture().map_err(Error::damaged),
        }
    }
}
