//! The coded pictures that a picture is made of.

use heifer_isobmff::HeifFile;

use crate::{
    Error, Unsupported,
    canvas::Canvas,
    container::{Container, area},
    turning::Rectangle,
};

/// The longest side of a tile, in pixels: those of cameras have at most 1,360.
const MAX_TILE_SIDE: u32 = 8192;

/// Coders pad the sides of a picture to a multiple of at most so many pixels.
const MAX_CODED_MULTIPLE: u32 = 64;

/// The coded pictures of an item, in rows.
pub(crate) struct Tiles {
    pub(crate) ids: Vec<u32>,
    pub(crate) columns: u32,
    pub(crate) side: (u32, u32),
}

impl Tiles {
    /// The tiles of an item that covers `stored` pixels.
    pub(crate) fn of(
        container: &Container,
        file: &HeifFile<'_>,
        id: u32,
        stored: (u32, u32),
    ) -> Result<Self, Error> {
        container.check_essential(id)?;
        if container.kind(id)?.0 != *b"grid" {
            return Ok(Self { ids: vec![id], columns: 1, side: stored });
        }
        let grid = file.grid(id)?;
        let damaged = |reason: &str| Err(Error::damaged(reason));
        if (grid.output_width, grid.output_height) != stored {
            return damaged("its grid and its description disagree on the size");
        }
        let ids = container.references(id, b"dimg").to_vec();
        let (columns, rows) = (u32::from(grid.columns), u32::from(grid.rows));
        if ids.len() as u64 != u64::from(columns) * u64::from(rows) {
            return damaged("its grid has another number of tiles than it says");
        }
        let first = ids.first().ok_or_else(|| Error::damaged("its grid has no tiles"))?;
        let side = container.sides(*first)?;
        if side.0 > MAX_TILE_SIDE || side.1 > MAX_TILE_SIDE {
            return Err(Error::TooMany("pixels in a tile"));
        }
        // Only the last column and row may go beyond the picture.
        let fits = |side: u32, count: u32, whole: u32| {
            let (side, count, whole) = (u64::from(side), u64::from(count), u64::from(whole));
            side * count >= whole && side * (count - 1) < whole
        };
        if !fits(side.0, columns, stored.0) || !fits(side.1, rows, stored.1) {
            return damaged("its tiles do not cover the picture");
        }
        for tile in &ids {
            if container.sides(*tile)? != side || container.kind(*tile)?.0 != container.kind(*first)?.0 {
                return damaged("its tiles are of different kinds");
            }
            container.check_essential(*tile)?;
        }
        Ok(Self { ids, columns, side })
    }

    /// Decodes the tiles that a part of the picture needs.
    pub(crate) fn decode(
        &self,
        container: &Container,
        file: &HeifFile<'_>,
        window: Rectangle,
        factor: u32,
    ) -> Result<Canvas, Error> {
        let mut canvas = Canvas::new(window, factor)?;
        let coded = |side: u32| side.max(1).checked_next_multiple_of(MAX_CODED_MULTIPLE).unwrap_or(u32::MAX);
        let limit = area((coded(self.side.0), coded(self.side.1)));
        for (at, id) in (0_u32..).zip(&self.ids) {
            let corner = (at % self.columns * self.side.0, at / self.columns * self.side.1);
            if window.meets(corner, self.side) {
                decode_coded(container, file, *id, limit, self.side, corner, &mut canvas)?;
            }
        }
        Ok(canvas)
    }
}

/// Decodes one coded picture of known sides onto a canvas.
fn decode_coded(
    container: &Container,
    file: &HeifFile<'_>,
    id: u32,
    limit: u64,
    side: (u32, u32),
    corner: (u32, u32),
    canvas: &mut Canvas,
) -> Result<(), Error> {
    let agree = |found: Option<(u32, u32)>| {
        if found == Some(side) {
            Ok(())
        } else {
            Err(Error::damaged("header and picture disagree on the size"))
        }
    };
    match &container.kind(id)?.0 {
        #[cfg(feature = "heic")]
        b"hvc1" | b"hev1" => crate::hevc::decode(file, id, limit, |shape, planes| {
            agree(planes.first().map(|plane| (plane.width, plane.height)))?;
            canvas.add(shape, planes, corner)
        }),
        #[cfg(feature = "avif")]
        b"av01" => crate::av1::decode(file, id, limit, |shape, planes| match planes {
            crate::av1::Planes::Bytes(planes) => {
                agree(planes.first().map(|plane| (plane.width, plane.height)))?;
                canvas.add(shape, planes, corner)
            }
            crate::av1::Planes::Words(planes) => {
                agree(planes.first().map(|plane| (plane.width, plane.height)))?;
                canvas.add(shape, planes, corner)
            }
        }),
        #[cfg(not(feature = "heic"))]
        b"hvc1" | b"hev1" => Err(Unsupported::Heic.into()),
        #[cfg(not(feature = "avif"))]
        b"av01" => Err(Unsupported::Avif.into()),
        _ => Err(Unsupported::Composition.into()),
    }
}
