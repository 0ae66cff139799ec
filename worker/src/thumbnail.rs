//! Pixels: bytes in, three encoded thumbnails out. Pure (no file, no clock, no network), and the only code that names a
//! codec. It runs in a sandboxed process ([`crate::confinement`]).
//!
//! ```text
//! bytes ─ header limits ─ decode ─ shrink to large ─ sRGB ─ turn upright ─ shrink to medium ─ shrink to small
//!                      (JPEG: at the                             │                 │                 │
//!                       least scale)                           encode            encode     encode, thumbhash
//! ```
//!
//! An ordinary JPEG stays in its YCbCr planes from decoding to encoding; all other pictures become pixels in sRGB.

mod codes;
mod colour;
mod decode;
mod drawing;
mod encode;
mod error;
mod hash;
mod picture;
mod pixels;
mod planes;
#[cfg(test)]
pub(crate) mod samples;
mod scale;
mod transpose;
mod turn;
mod webp;

use std::io::Cursor;

use sha2::{Digest, Sha256};

pub use self::error::ThumbnailError;
pub(crate) use self::webp::WebpThread;
use self::{decode::Decoded, picture::Picture, scale::Scaler};
use crate::{
    Encoding, Format, Size, Sizes, ThumbnailFact, Warning, WebpSizes,
    contract::result::AlternativeFact,
    fit,
    probe::{self, Orientation},
};

/// The request for three thumbnails.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Recipe {
    /// The format of the original.
    pub(crate) format: Format,
    /// The longest sides.
    pub(crate) sizes: Sizes,
    /// The thumbnails that opaque pictures have as WebP as well.
    pub(crate) webp: WebpSizes,
    /// The pixel limit of the original.
    pub(crate) max_pixels: u64,
}

/// The tools that are kept from picture to picture, with their buffers.
pub(crate) struct Tools {
    /// The decoder of ordinary JPEGs. A benchmark compares with the complete decoder alone.
    decoder: Option<thumbnail_jpeg::Decoder>,
    scaler: Scaler,
    /// Without it, WebP is encoded after the rest.
    webp: Option<WebpThread>,
}

impl Default for Tools {
    fn default() -> Self {
        let decoder = Some(thumbnail_jpeg::Decoder::default());
        Self { decoder, scaler: Scaler::default(), webp: None }
    }
}

impl Tools {
    /// Tools with a thread for WebP.
    pub(crate) fn with_webp_thread(webp: Option<WebpThread>) -> Self {
        Self { webp, ..Self::default() }
    }

    /// New tools, after a panic has left these in any state. The thread stays: a sandbox allows no other one.
    pub(crate) fn renew(&mut self) {
        *self = Self::with_webp_thread(self.webp.take());
    }

    /// Tools that decode every JPEG with the complete decoder.
    pub(crate) fn with_complete_decoder() -> Self {
        Self { decoder: None, ..Self::default() }
    }
}

/// The thumbnails of one picture.
#[derive(Debug, PartialEq, Eq)]
pub struct ThumbnailSet {
    /// Displayed width of the original in pixels.
    pub width: u32,
    /// Displayed height of the original in pixels.
    pub height: u32,
    /// Smallest first.
    pub thumbnails: [Thumbnail; 3],
    /// A blurred impression of some 25 bytes, as the `thumbhash` crate makes it.
    pub thumbhash: Vec<u8>,
    /// The shortcomings of the thumbnails.
    pub warnings: Vec<Warning>,
}

/// One encoded thumbnail. It carries no metadata of the original.
#[derive(Debug, PartialEq, Eq)]
pub struct Thumbnail {
    /// One of the three sizes.
    pub size: Size,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// The encoding.
    pub encoding: Encoding,
    /// The file.
    pub bytes: Vec<u8>,
    /// The same as WebP, if that is shorter.
    pub webp: Option<Vec<u8>>,
}

/// Bytes of the digest that is the ETag: enough to make collisions improbable.
const ETAG_BYTES: usize = 16;

impl Thumbnail {
    /// The facts of the thumbnail in a stored result.
    pub(crate) fn fact(&self) -> ThumbnailFact {
        let webp = self.webp.iter().map(|webp| AlternativeFact {
            content_type: Encoding::WebP,
            bytes: webp.len() as u64,
            etag: etag(webp),
        });
        ThumbnailFact {
            size: self.size,
            width: self.width,
            height: self.height,
            content_type: self.encoding,
            bytes: self.bytes.len() as u64,
            etag: etag(&self.bytes),
            alternatives: webp.collect(),
        }
    }

    /// Its files.
    pub(crate) fn into_files(self) -> impl Iterator<Item = (Size, Encoding, Vec<u8>)> {
        let webp = self.webp.map(|webp| (self.size, Encoding::WebP, webp));
        [(self.size, self.encoding, self.bytes)].into_iter().chain(webp)
    }
}

fn etag(file: &[u8]) -> String {
    Sha256::digest(file)[..ETAG_BYTES].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The stages of [`make`], in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Header, limits, pixels.
    Decode,
    /// The three sizes, colour, orientation.
    Scale,
    /// The three files and the placeholder.
    Encode,
}

/// Makes the three thumbnails of a picture file. `max_pixels` bounds the memory of the decoder, but time is not bounded
/// here: untrusted input must be decoded in a sandbox.
///
/// `finished` is called at the end of each stage, so that a benchmark can measure it.
pub(crate) fn make(
    tools: &mut Tools,
    original: &[u8],
    recipe: &Recipe,
    mut finished: impl FnMut(Stage),
) -> Result<ThumbnailSet, ThumbnailError> {
    let Tools { decoder, scaler, webp } = tools;
    let header = probe::probe(Cursor::new(original), recipe.format)?;
    header.check(recipe.max_pixels)?;
    let side = |size| fit((header.width, header.height), recipe.sizes.longest_side(size));
    // The large thumbnail is scaled as stored and then turned, so its width and height may be swapped.
    let (width, height) = side(Size::Large);
    let stored = header.orientation.displayed(width, height);
    let decoded = decode::first_frame(decoder.as_mut(), original, &header, stored)?;
    finished(Stage::Decode);
    let warnings = if decoded.is_cut_short { vec![Warning::CutShort] } else { Vec::new() };

    let large = upright(scaler, decoded, stored, header.orientation)?;
    let medium = large.shrink_from(scaler, side(Size::Medium))?;
    let small = medium.shrink_from(scaler, side(Size::Small))?;
    finished(Stage::Scale);

    let begin = |size, picture| encode::begin(size, recipe, picture, webp.as_ref());
    let medium = begin(Size::Medium, medium);
    let thumbhash = hash::thumbhash(scaler, &small)?;
    let small = begin(Size::Small, small);
    let large = begin(Size::Large, large);
    let encoded = [small.encode()?, medium.encode()?, large.encode()?];
    let [small, medium, large] = encoded.map(encode::Encoded::finish);
    let thumbnails = [small?, medium?, large?];
    finished(Stage::Encode);
    Ok(ThumbnailSet { width: header.width, height: header.height, thumbnails, thumbhash, warnings })
}

/// The decoded picture at this size (as stored), in sRGB, turned upright.
fn upright(
    scaler: &mut Scaler,
    decoded: Decoded,
    stored: (u32, u32),
    orientation: Orientation,
) -> Result<Picture, ThumbnailError> {
    let Decoded { picture, window, profile, .. } = decoded;
    match picture {
        // Planes need no colour conversion.
        Picture::Planes(planes) => {
            let extent = (window.width, window.height);
            planes.upright(scaler, extent, stored, orientation).map(Picture::Planes)
        }
        Picture::Pixels(mut pixels) => {
            pixels.multiply_alpha();
            let pixels = scaler.shrink(pixels, window, stored)?;
            let pixels = colour::to_srgb(pixels, profile.as_ref());
            Ok(Picture::Pixels(turn::upright(pixels, orientation).without_idle_alpha()))
        }
    }
}

#[cfg(test)]
mod tests;
