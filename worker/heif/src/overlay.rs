//! Pictures on top of each other (ISO/IEC 23008-12, 6.6.2.2).

use crate::{
    Error,
    container::Scene,
    hdr,
    picture::{Colour, Picture, Pixels, Source, coded, reserved, stated_colours},
    turning::Rectangle,
};

/// Red, green, blue and alpha.
type Rgba = [u8; 4];

/// The ground below all layers, and the corner of each, in pixels.
struct Plan {
    fill: Rgba,
    corners: Vec<(i64, i64)>,
}

/// Draws the layers in a part of an overlay, shrunk by a factor. Such files are rare: between pixels nothing is interpolated.
pub(crate) fn decode(
    source: Source<'_>,
    scene: &Scene,
    window: Rectangle,
    factor: u32,
) -> Result<(Pixels, Colour), Error> {
    let Source { container, file, .. } = source;
    let layers = container.references(scene.id, b"dimg");
    let plan = plan(&file.item_data(scene.id)?, scene.stored, layers.len())?;
    let (width, height) = (window.width.div_ceil(factor), window.height.div_ceil(factor));
    let length = width as usize * height as usize;
    let mut canvas: Vec<Rgba> = reserved(length)?;
    canvas.resize(length, plan.fill);
    let mut has_colour = !plan.fill[..3].iter().all(|light| *light == plan.fill[0]);
    let (signal, profile) = stated_colours(container, scene.views.iter().copied())?;
    let mut colour = match (signal, profile) {
        (_, Some(profile)) => Some(Colour::Icc(profile)),
        (Some(signal), None) if !hdr::is_hdr(signal) => Some(coded(signal)),
        (_, None) => None,
    };
    for (layer, corner) in layers.iter().zip(plan.corners) {
        let layer = container.layer(*layer)?;
        let part = layer.turning.part;
        let least = (part.width.div_ceil(factor), part.height.div_ceil(factor));
        let picture = source.picture(&layer, least, &scene.views)?;
        has_colour |= picture.has_colour;
        // Layers of a high dynamic range are in sRGB by now, whatever the boxes say.
        match &picture.colour {
            Colour::Srgb => colour = Some(Colour::Srgb),
            known => {
                colour.get_or_insert_with(|| known.clone());
            }
        }
        let corner = (corner.0 - i64::from(window.left), corner.1 - i64::from(window.top));
        draw(&mut canvas, (width, height), factor, &picture, corner);
    }
    let has_alpha = canvas.iter().any(|pixel| pixel[3] != u8::MAX);
    // Pictures without colours may have a profile for grey.
    let first = if has_colour { 0 } else { 2 };
    let end = if has_alpha { 4 } else { 3 };
    let mut bytes = reserved(canvas.len() * (end - first))?;
    bytes.extend(canvas.iter().flat_map(|pixel| &pixel[first..end]));
    Ok((Pixels { width, height, has_colour, has_alpha, bytes }, colour.unwrap_or(Colour::Srgb)))
}

/// Reads the data of an overlay of so many layers.
fn plan(data: &[u8], stored: (u32, u32), layers: usize) -> Result<Plan, Error> {
    let cut = || Error::damaged("its overlay is cut short");
    let (&[version, flags], data) = data.split_first_chunk().ok_or_else(cut)?;
    if version != 0 {
        return Err(Error::damaged("its overlay has an unknown version"));
    }
    let (fill, data) = data.split_first_chunk::<8>().ok_or_else(cut)?;
    let [red, green, blue, alpha] = [0, 2, 4, 6].map(|at| fill[at]);
    // Sides, and then corners: of 16 or of 32 bits.
    let numbers: Vec<i64> = if flags & 1 == 0 {
        data.as_chunks().0.iter().map(|number| i16::from_be_bytes(*number).into()).collect()
    } else {
        data.as_chunks().0.iter().map(|number| i32::from_be_bytes(*number).into()).collect()
    };
    let unsigned = |number: i64| number & if flags & 1 == 0 { 0xffff } else { 0xffff_ffff };
    let mut pairs = numbers.as_chunks::<2>().0.iter().map(|[across, down]| (*across, *down));
    let (width, height) = pairs.next().ok_or_else(cut)?;
    if (unsigned(width), unsigned(height)) != (stored.0.into(), stored.1.into()) {
        return Err(Error::damaged("its overlay and its description disagree on the size"));
    }
    let corners: Vec<_> = pairs.take(layers).collect();
    if corners.len() < layers {
        return Err(cut());
    }
    Ok(Plan { fill: [red, green, blue, alpha], corners })
}

/// Draws a layer at its corner onto a canvas that is shrunk by a factor.
fn draw(canvas: &mut [Rgba], (width, height): (u32, u32), factor: u32, layer: &Picture, corner: (i64, i64)) {
    let turned = layer.orientation >= 5;
    let (columns, rows) = layer.sides;
    let displayed = if turned { (rows, columns) } else { (columns, rows) };
    // The pixel of the layer at the middle of each pixel of the canvas, on one axis, as displayed.
    let places = |canvas: u32, corner: i64, side: u32| -> Vec<Option<u32>> {
        let middle = |at: u32| i64::from(at) * i64::from(factor) + i64::from(factor / 2) - corner;
        (0..canvas).map(|at| u32::try_from(middle(at)).ok().filter(|at| *at < side)).collect()
    };
    let across = places(width, corner.0, displayed.0);
    let down = places(height, corner.1, displayed.1);
    // A pixel as displayed is this one as stored.
    let stored = |x: u32, y: u32| match layer.orientation {
        2 => (columns - 1 - x, y),
        3 => (columns - 1 - x, rows - 1 - y),
        4 => (x, rows - 1 - y),
        5 => (y, x),
        6 => (y, rows - 1 - x),
        7 => (columns - 1 - y, rows - 1 - x),
        8 => (columns - 1 - y, x),
        _ => (x, y),
    };
    let shrunk = |at: u32, corner: f64, extent: f64, side: u32, most: u32| {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within the buffer")]
        let place = (corner + (f64::from(at) + 0.5) * extent / f64::from(side)) as u32;
        place.min(most - 1)
    };
    let channels = layer.channels();
    for (row, y) in canvas.chunks_exact_mut(width as usize).zip(&down) {
        let Some(y) = *y else { continue };
        for (below, x) in row.iter_mut().zip(&across) {
            let Some(x) = *x else { continue };
            let (x, y) = stored(x, y);
            let x = shrunk(x, layer.corner.0, layer.extent.0, columns, layer.width);
            let y = shrunk(y, layer.corner.1, layer.extent.1, rows, layer.height);
            let at = (y as usize * layer.width as usize + x as usize) * channels;
            let above = match layer.pixels[at..][..channels] {
                [grey] => [grey, grey, grey, u8::MAX],
                [grey, alpha] => [grey, grey, grey, alpha],
                [red, green, blue] => [red, green, blue, u8::MAX],
                [red, green, blue, alpha, ..] => [red, green, blue, alpha],
                [] => continue,
            };
            *below = over(above, *below);
        }
    }
}

/// A pixel on top of another one.
fn over(above: Rgba, below: Rgba) -> Rgba {
    let most = u32::from(u8::MAX);
    let part = u32::from(above[3]) * most;
    // The parts that are seen of the lower one, and of both: in 65,025ths.
    let rest = u32::from(below[3]) * (most - u32::from(above[3]));
    let sum = part + rest;
    if sum == 0 {
        return [0; 4];
    }
    let mixed = |channel: usize| {
        let light = u32::from(above[channel]) * part + u32::from(below[channel]) * rest;
        u8::try_from((light + sum / 2) / sum).unwrap_or(u8::MAX)
    };
    let alpha = u8::try_from((sum + most / 2) / most).unwrap_or(u8::MAX);
    [mixed(0), mixed(1), mixed(2), alpha]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clear_pixel_shows_what_is_below() {
        let (red, blue) = ([200, 0, 0, 255], [0, 0, 100, 255]);
        assert_eq!(over(red, blue), red);
        assert_eq!(over([200, 0, 0, 0], blue), blue);
        assert_eq!(over([200, 0, 0, 51], blue), [40, 0, 80, 255]);
        assert_eq!(over([200, 0, 0, 51], [0; 4]), [200, 0, 0, 51]);
        assert_eq!(over([0; 4], [0; 4]), [0; 4]);
    }

    #[test]
    fn a_turned_layer_is_drawn_as_it_is_displayed() {
        // Three columns, two rows: 1 2 3 and 4 5 6.
        let drawn = |orientation: u8| {
            let layer = Picture {
                width: 3,
                height: 2,
                pixels: vec![1, 2, 3, 4, 5, 6],
                has_colour: false,
                has_alpha: false,
                sides: (3, 2),
                corner: (0.0, 0.0),
                extent: (3.0, 2.0),
                colour: Colour::Srgb,
                orientation,
            };
            let mut canvas = vec![[0, 0, 0, 255]; 9];
            draw(&mut canvas, (3, 3), 1, &layer, (0, 0));
            canvas.iter().map(|pixel| pixel[0]).collect::<Vec<_>>()
        };
        assert_eq!(drawn(1), [1, 2, 3, 4, 5, 6, 0, 0, 0]);
        assert_eq!(drawn(2), [3, 2, 1, 6, 5, 4, 0, 0, 0]);
        assert_eq!(drawn(3), [6, 5, 4, 3, 2, 1, 0, 0, 0]);
        assert_eq!(drawn(4), [4, 5, 6, 1, 2, 3, 0, 0, 0]);
        assert_eq!(drawn(5), [1, 4, 0, 2, 5, 0, 3, 6, 0]);
        assert_eq!(drawn(6), [4, 1, 0, 5, 2, 0, 6, 3, 0]);
        assert_eq!(drawn(7), [6, 3, 0, 5, 2, 0, 4, 1, 0]);
        assert_eq!(drawn(8), [3, 6, 0, 2, 5, 0, 1, 4, 0]);
    }
}
