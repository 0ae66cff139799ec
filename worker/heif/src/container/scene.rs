//! The picture of a file: which item has its pixels, how it is made of others, and how it is turned.

use heifer_isobmff::boxes::Property;

use super::{Codec, Container, MAX_PARTS, area};
use crate::{Error, Unsupported, turning::Turning};

/// Pictures that are made of pictures: one more level than files have.
const MAX_DEPTH: usize = 4;

/// Layers of an overlay, each decoded. Real ones have two or three.
const MAX_LAYERS: usize = 16;

/// The names of alpha channels in HEIF and in MIAF.
const ALPHA_URNS: [&str; 2] = ["urn:mpeg:hevc:2015:auxid:1", "urn:mpeg:mpegB:cicp:systems:auxiliary:alpha"];

/// The picture of a file, or a layer of it.
pub(crate) struct Scene {
    /// The item with the pixels.
    pub(crate) id: u32,
    /// The item, and before it those that are other views of it: the outermost comes first.
    pub(crate) views: Vec<u32>,
    pub(crate) codec: Codec,
    pub(crate) composition: Composition,
    /// Width and height as stored, before crops and turns.
    pub(crate) stored: (u32, u32),
    /// Pixels that are decoded: of layers, too.
    pub(crate) pixels: u64,
    pub(crate) turning: Turning,
}

/// How a picture is made of coded pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Composition {
    /// It is one.
    Coded,
    /// Rows of equal tiles.
    Grid,
    /// Several on top of each other.
    Overlay,
}

impl Container {
    /// The picture to display.
    pub(crate) fn scene(&self) -> Result<Scene, Error> {
        let scene = self.scene_of(self.primary)?;
        if scene.composition != Composition::Overlay {
            return Ok(scene);
        }
        let layers = self.references(scene.id, b"dimg");
        if layers.len() > MAX_LAYERS {
            return Err(Error::TooMany("layers"));
        }
        let (mut pixels, mut parts) = (scene.pixels, 0);
        for layer in layers {
            let layer = self.layer(*layer)?;
            pixels = pixels.saturating_add(layer.pixels);
            parts += self.references(layer.id, b"dimg").len();
        }
        if parts > MAX_PARTS {
            return Err(Error::TooMany("tiles"));
        }
        Ok(Scene { pixels, ..scene })
    }

    /// A layer of an overlay, which is none itself.
    pub(crate) fn layer(&self, id: u32) -> Result<Scene, Error> {
        match self.scene_of(id)? {
            Scene { composition: Composition::Overlay, .. } => Err(Unsupported::Composition.into()),
            scene => Ok(scene),
        }
    }

    fn scene_of(&self, id: u32) -> Result<Scene, Error> {
        // This bounds the number of views, too.
        let codec = self.codec(id, 0)?;
        let (mut id, mut views) = (id, vec![id]);
        while self.kind(id)?.0 == *b"iden" {
            let [source] = self.references(id, b"dimg") else {
                return Err(Error::damaged("a view is one of several pictures"));
            };
            id = *source;
            views.push(id);
        }
        let composition = match &self.kind(id)?.0 {
            b"grid" => Composition::Grid,
            b"iovl" => Composition::Overlay,
            _ => Composition::Coded,
        };
        let stored = self.sides(id)?;
        let mut turning = Turning::none(stored);
        for view in views.iter().rev() {
            self.check_essential(*view)?;
            for (property, _) in self.properties(*view)? {
                match property {
                    Property::Rotation(quarters) => turning.turn(*quarters),
                    Property::Mirror(top_and_bottom) => turning.mirror(*top_and_bottom),
                    Property::CleanAperture { width, height, horiz_offset, vert_offset } => {
                        turning.crop(*width, *height, *horiz_offset, *vert_offset)?;
                    }
                    _ => {}
                }
            }
        }
        Ok(Scene { id, views, codec, composition, stored, pixels: area(stored), turning })
    }

    /// The codec of an item, or of the first item that it is made of.
    fn codec(&self, id: u32, depth: usize) -> Result<Codec, Error> {
        match &self.kind(id)?.0 {
            b"hvc1" | b"hev1" => Ok(Codec::Hevc),
            b"av01" => Ok(Codec::Av1),
            b"grid" | b"iovl" | b"iden" if depth < MAX_DEPTH => {
                let first = self.references(id, b"dimg").first().copied();
                self.codec(first.ok_or_else(|| Error::damaged("its picture is made of nothing"))?, depth + 1)
            }
            b"grid" | b"iovl" | b"iden" => Err(Error::TooMany("pictures within pictures")),
            b"unci" => Err(Unsupported::Uncompressed.into()),
            b"jpeg" => Err(Unsupported::Jpeg.into()),
            b"avc1" => Err(Unsupported::H264.into()),
            b"vvc1" => Err(Unsupported::H266.into()),
            b"j2k1" => Err(Unsupported::Jpeg2000.into()),
            _ => Err(Unsupported::Coding.into()),
        }
    }

    /// The item with the alpha channel of a picture, and whether colours are multiplied by it. One of another view counts
    /// only where the view is not turned before.
    pub(crate) fn alpha(&self, scene: &Scene) -> Result<Option<(u32, bool)>, Error> {
        for view in scene.views.iter().rev() {
            if let Some(found) = self.alpha_of(*view)? {
                return Ok(Some(found));
            }
            let turns = |(property, _): (&Property, bool)| {
                matches!(
                    property,
                    Property::Rotation(_) | Property::Mirror(_) | Property::CleanAperture { .. }
                )
            };
            if self.properties(*view)?.any(turns) {
                break;
            }
        }
        Ok(None)
    }

    fn alpha_of(&self, of: u32) -> Result<Option<(u32, bool)>, Error> {
        let auxiliary = self
            .references
            .iter()
            .filter(|reference| reference.ref_type.0 == *b"auxl" && reference.to.contains(&of));
        for reference in auxiliary {
            let is_alpha = self.properties(reference.from)?.any(|(property, _)| {
                matches!(property, Property::AuxiliaryType(urn) if ALPHA_URNS.contains(&urn.as_str()))
            });
            if is_alpha {
                let is_multiplied = self.references(of, b"prem").contains(&reference.from);
                return Ok(Some((reference.from, is_multiplied)));
            }
        }
        Ok(None)
    }
}
