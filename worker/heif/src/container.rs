//! The boxes and items of a file (ISO/IEC 14496-12 and 23008-12): what its picture is, without a pixel of it.

use std::collections::HashMap;

use heifer_isobmff::{
    BoxIter, FourCC,
    boxes::{self, FileType, ItemReference, Property, PropertyAssociation},
};

use self::locations::Locations;
#[cfg(any(feature = "heic", feature = "avif"))]
pub(crate) use self::scene::{Composition, Scene};
use crate::{Error, Unsupported};

mod locations;
mod scene;

/// The largest box `meta` that is read, in bytes. A picture of 200 megapixels in 768 tiles has one of 39 kB.
pub const MAX_META_BYTES: u64 = 1024 * 1024;

/// Items of a file: a picture of 200 megapixels has 822.
const MAX_ITEMS: usize = 4096;

/// Properties of a file.
const MAX_PROPERTIES: usize = 1024;

/// The longest configuration of an HEVC decoder, in bytes. Real ones have some hundred. It is copied for every tile, and
/// each empty unit in it takes twelve times as much memory as bytes.
const MAX_CONFIG_BYTES: usize = 16 * 1024;

/// Coded pictures that one is made of. A picture of 200 megapixels has 763 tiles of 512 × 512 pixels; a list may name one
/// picture again and again, and each time it is decoded.
const MAX_PARTS: usize = 4096;

/// Boxes inside one box, so that a stream of empty ones ends.
const MAX_BOXES: usize = 4096;

/// Properties that may be essential without changing how a picture is displayed: configuration of its decoder, bytes of its
/// layers, the shape of its pixels.
const HARMLESS: [&[u8; 4]; 4] = [b"av1C", b"a1lx", b"pasp", b"pixi"];

/// The number of a layer in `lsel` that stands for all of them: the best one is shown, as it is decoded.
const ALL_LAYERS: [u8; 2] = [0xff, 0xff];

/// The codec of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Codec {
    /// H.265: the picture is a HEIC.
    Hevc,
    /// AV1: the picture is an AVIF.
    Av1,
}

/// The picture as the boxes of a file describe it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Description {
    /// How its pixels are coded.
    pub codec: Codec,
    /// Width in pixels as displayed.
    pub width: u32,
    /// Height in pixels as displayed.
    pub height: u32,
    /// How decoded pixels are turned for display, as in EXIF tag 274: 1 to 8.
    pub orientation: u8,
    /// Pixels that are decoded: of the picture as stored, before it is cropped.
    pub stored_pixels: u64,
}

/// Describes the picture of a file by its boxes `ftyp` and `meta`, each without its header.
///
/// # Errors
/// [`Error::Damaged`], [`Error::Unsupported`] and [`Error::TooMany`].
pub fn describe(file_type: &[u8], meta: &[u8]) -> Result<Description, Error> {
    FileType::parse(file_type)?;
    let container = Container::parse(meta)?;
    let scene = container.scene()?;
    let (width, height) = scene.turning.displayed();
    Ok(Description {
        codec: scene.codec,
        width,
        height,
        orientation: scene.turning.exif_orientation(),
        stored_pixels: scene.pixels,
    })
}

/// The items of a file.
pub(crate) struct Container {
    primary: u32,
    kinds: HashMap<u32, FourCC>,
    associations: HashMap<u32, Vec<PropertyAssociation>>,
    properties: Vec<Property>,
    references: Vec<ItemReference>,
}

impl Container {
    /// Reads the body of a box `meta`.
    pub(crate) fn parse(meta: &[u8]) -> Result<Self, Error> {
        if meta.len() as u64 > MAX_META_BYTES {
            return Err(Error::TooMany("bytes in its description"));
        }
        // A full box: version and flags come first.
        let body = meta.get(4..).ok_or_else(|| Error::damaged("its description is cut short"))?;
        let mut container = Self {
            primary: 0,
            kinds: HashMap::new(),
            associations: HashMap::new(),
            properties: Vec::new(),
            references: Vec::new(),
        };
        let (mut handler, mut primary) = (None, None);
        let (mut items, mut locations) = (Vec::new(), Locations::default());
        for (kind, content) in children(body)? {
            match &kind.0 {
                b"hdlr" => handler = Some(boxes::parse_handler(content)?),
                b"pitm" => primary = Some(boxes::parse_primary_item(content)?),
                b"iinf" => {
                    let infos = bounded(boxes::parse_item_infos(content)?, MAX_ITEMS, "items")?;
                    container.kinds.clear();
                    items = infos.iter().map(|info| info.id).collect();
                    for info in infos {
                        // The first item of a number counts, as for the parser that finds its bytes.
                        container.kinds.entry(info.id).or_insert(info.item_type);
                    }
                }
                b"iref" => {
                    container.references =
                        bounded(boxes::parse_item_references(content)?, MAX_ITEMS, "references")?;
                    let has_many =
                        |list: &ItemReference| list.ref_type.0 == *b"dimg" && list.to.len() > MAX_PARTS;
                    if container.references.iter().any(has_many) {
                        return Err(Error::TooMany("tiles"));
                    }
                }
                // The last one counts, as for the parser that finds the bytes of items.
                b"iloc" => locations = Locations::parse(content)?,
                b"iprp" => container.read_properties(content)?,
                _ => {}
            }
        }
        locations.check(&items)?;
        if handler.is_some_and(|handler| handler.0 != *b"pict") {
            return Err(Unsupported::NoPicture.into());
        }
        container.primary = primary.ok_or_else(|| Error::damaged("it names no primary picture"))?;
        Ok(container)
    }

    fn read_properties(&mut self, content: &[u8]) -> Result<(), Error> {
        let mut count = 0;
        for (kind, content) in children(content)? {
            match &kind.0 {
                b"ipco" => {
                    let properties = bounded(children(content)?, MAX_PROPERTIES, "properties")?;
                    let is_long = |(kind, content): &(FourCC, &[u8])| {
                        kind.0 == *b"hvcC" && content.len() > MAX_CONFIG_BYTES
                    };
                    if properties.iter().any(is_long) {
                        return Err(Error::TooMany("bytes in a configuration"));
                    }
                    self.properties = boxes::parse_property_container(content)?;
                }
                b"ipma" => {
                    let associations = boxes::parse_property_associations(content)?;
                    count += associations.len();
                    if count > MAX_ITEMS {
                        return Err(Error::TooMany("items with properties"));
                    }
                    for (id, properties) in associations {
                        self.associations.entry(id).or_insert(properties);
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    pub(crate) fn kind(&self, id: u32) -> Result<FourCC, Error> {
        self.kinds.get(&id).copied().ok_or_else(|| Error::damaged("it names an item that it does not have"))
    }

    /// Width and height of an item as stored.
    pub(crate) fn sides(&self, id: u32) -> Result<(u32, u32), Error> {
        let sides = self.properties(id)?.find_map(|(property, _)| match property {
            Property::ImageSize { width, height } => Some((*width, *height)),
            _ => None,
        });
        sides
            .filter(|(width, height)| *width > 0 && *height > 0)
            .ok_or_else(|| Error::damaged("a side has no pixels"))
    }

    /// The properties of an item in the order of the file, each with whether it is essential.
    pub(crate) fn properties(&self, id: u32) -> Result<impl Iterator<Item = (&Property, bool)>, Error> {
        let associations = self.associations.get(&id).map_or(&[][..], Vec::as_slice);
        let properties: Result<Vec<_>, Error> = associations
            .iter()
            .filter(|association| association.index > 0)
            .map(|association| {
                let property = self.properties.get(usize::from(association.index) - 1);
                let property =
                    property.ok_or_else(|| Error::damaged("it names a property that it does not have"));
                Ok((property?, association.essential))
            })
            .collect();
        Ok(properties?.into_iter())
    }

    /// Refuses what an item must not be shown without: an unknown property, and one of its layers that is not decoded.
    pub(crate) fn check_essential(&self, id: u32) -> Result<(), Error> {
        for (property, is_essential) in self.properties(id)? {
            match property {
                // Of a decoder and of a file: an operating point of the AV1 stream, and a layer of the picture.
                Property::Unknown(FourCC([b'a', b'1', b'o', b'p']), point) if point[..] != [0] => {
                    return Err(Unsupported::Layer.into());
                }
                Property::Unknown(FourCC([b'l', b's', b'e', b'l']), layer) if layer[..] != ALL_LAYERS => {
                    return Err(Unsupported::Layer.into());
                }
                Property::Unknown(FourCC(kind), _)
                    if is_essential && !HARMLESS.contains(&kind) && kind != b"a1op" && kind != b"lsel" =>
                {
                    return Err(Unsupported::Property.into());
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The items that an item refers to.
    pub(crate) fn references(&self, from: u32, kind: &[u8; 4]) -> &[u32] {
        self.references
            .iter()
            .find(|reference| reference.from == from && reference.ref_type.0 == *kind)
            .map_or(&[], |reference| &reference.to)
    }
}

/// Pixels of a picture with these sides.
pub(crate) const fn area((width, height): (u32, u32)) -> u64 {
    width as u64 * height as u64
}

/// The boxes inside a box.
fn children(content: &[u8]) -> Result<Vec<(FourCC, &[u8])>, Error> {
    let mut found = Vec::new();
    for child in BoxIter::new(content) {
        let child = child?;
        if found.len() == MAX_BOXES {
            return Err(Error::TooMany("boxes"));
        }
        found.push((child.header.box_type, child.content));
    }
    Ok(found)
}

fn bounded<T>(list: Vec<T>, most: usize, what: &'static str) -> Result<Vec<T>, Error> {
    if list.len() > most { Err(Error::TooMany(what)) } else { Ok(list) }
}

/// The boxes of a file.
pub(crate) struct Boxes<'file> {
    /// The body of `meta`.
    pub(crate) meta: &'file [u8],
    /// The part of the file that is decoded: whole boxes, and one `ftyp` and one `meta` among them.
    pub(crate) whole: &'file [u8],
}

/// The boxes of a file, up to bytes that are no box, and up to a second `ftyp` or `meta`. A parser that read on would fail,
/// or would take a description whose bounds were not checked.
pub(crate) fn boxes_of(file: &[u8]) -> Result<Boxes<'_>, Error> {
    let (mut file_type, mut meta) = (None, None);
    let mut end = 0;
    for found in BoxIter::new(file).take(MAX_BOXES) {
        let Ok(found) = found else { break };
        let known = match &found.header.box_type.0 {
            b"ftyp" => Some(&mut file_type),
            // As in the probe: a description comes after the brands.
            b"meta" if file_type.is_some() => Some(&mut meta),
            _ => None,
        };
        if let Some(known) = known {
            if known.is_some() {
                break;
            }
            *known = Some(found.content);
        }
        let header_bytes = usize::try_from(found.header.header_size).map_err(Error::damaged)?;
        end = found.offset + header_bytes + found.content.len();
    }
    let meta = meta.ok_or_else(|| Error::damaged("it has no description"))?;
    Ok(Boxes { meta, whole: &file[..end] })
}
