//! Decoded pixels: 8 bits a channel, rows without padding.

use fast_image_resize::{
    MulDiv, PixelType,
    images::{Image, ImageRef},
};

/// The channels of a pixel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    Grey,
    GreyAlpha,
    Rgb,
    Rgba,
    /// Four inks, inverted: 255 is no ink.
    Cmyk,
}

impl Layout {
    pub(super) const fn channels(self) -> usize {
        match self {
            Layout::Grey => 1,
            Layout::GreyAlpha => 2,
            Layout::Rgb => 3,
            Layout::Rgba | Layout::Cmyk => 4,
        }
    }

    pub(super) const fn has_alpha(self) -> bool {
        matches!(self, Layout::GreyAlpha | Layout::Rgba)
    }

    pub(super) const fn pixel_type(self) -> PixelType {
        match self {
            Layout::Grey => PixelType::U8,
            Layout::GreyAlpha => PixelType::U8x2,
            Layout::Rgb => PixelType::U8x3,
            Layout::Rgba | Layout::Cmyk => PixelType::U8x4,
        }
    }
}

/// A picture in memory. `bytes` holds exactly width × height × channels.
#[derive(Debug, Clone)]
pub(super) struct Pixels {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) layout: Layout,
    pub(super) bytes: Vec<u8>,
}

impl Pixels {
    pub(super) fn view(&self) -> ImageRef<'_> {
        ImageRef::new(self.width, self.height, &self.bytes, self.layout.pixel_type())
            .expect("the buffer holds every pixel")
    }

    fn view_mut(&mut self) -> Image<'_> {
        Image::from_slice_u8(self.width, self.height, &mut self.bytes, self.layout.pixel_type())
            .expect("the buffer holds every pixel")
    }

    /// Multiplies colours by alpha, so that scaling mixes visible colours only: no dark fringes, and colours under zero
    /// alpha are removed.
    pub(super) fn multiply_alpha(&mut self) {
        if self.layout.has_alpha() && !self.is_opaque() {
            MulDiv::default().multiply_alpha_inplace(&mut self.view_mut()).expect("a layout with alpha");
        }
    }

    /// Undoes [`multiply_alpha`](Self::multiply_alpha) before encoding.
    pub(super) fn divide_alpha(&mut self) {
        if self.layout.has_alpha() {
            MulDiv::default().divide_alpha_inplace(&mut self.view_mut()).expect("a layout with alpha");
        }
    }

    /// Drops the alpha channel of an opaque picture.
    pub(super) fn without_idle_alpha(self) -> Self {
        let layout = match self.layout {
            Layout::GreyAlpha => Layout::Grey,
            Layout::Rgba => Layout::Rgb,
            Layout::Grey | Layout::Rgb | Layout::Cmyk => return self,
        };
        if !self.is_opaque() {
            return self;
        }
        let bytes = match layout {
            Layout::Grey => self.bytes.as_chunks::<2>().0.iter().map(|[grey, _]| *grey).collect(),
            _ => {
                let mut bytes = Vec::with_capacity(self.bytes.len() / 4 * 3);
                for [red, green, blue, _] in self.bytes.as_chunks::<4>().0 {
                    bytes.extend_from_slice(&[*red, *green, *blue]);
                }
                bytes
            }
        };
        Self { layout, bytes, ..self }
    }

    fn is_opaque(&self) -> bool {
        match self.layout {
            Layout::Grey | Layout::Rgb | Layout::Cmyk => true,
            Layout::GreyAlpha => self.bytes.as_chunks::<2>().0.iter().all(|[_, alpha]| *alpha == u8::MAX),
            Layout::Rgba => self.bytes.as_chunks::<4>().0.iter().all(|[_, _, _, alpha]| *alpha == u8::MAX),
        }
    }
}
