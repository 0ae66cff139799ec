//! Encodes WebP. It takes longer than JPEG in the same sizes, so a decoder has a thread for it, and both run at once.

mod planes;

use std::{
    borrow::Cow,
    collections::VecDeque,
    io,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc},
    thread,
};

use webp::{Encoder, PixelLayout, WebPConfig, WebPEncodingError};

use super::{
    ThumbnailError,
    picture::Picture,
    pixels::{Layout, Pixels},
};

/// The quality, of 100: on twelve photographs as similar to the original as JPEG at 80, in four fifths of the bytes.
const QUALITY: f32 = 80.0;

/// The effort, of 6. More makes files a few per cent shorter in twice the time.
const METHOD: i32 = 2;

/// The quality of alpha channels, of 100: edges stay sharp.
const ALPHA_QUALITY: i32 = 90;

/// The stack of the thread, in bytes. libwebp keeps its tables on the heap.
const STACK_BYTES: usize = 512 * 1024;

/// The error of a library that this code was not written for.
const OTHER_VERSION: &str = "libwebp has another version";

type Outcome = Result<Vec<u8>, ThumbnailError>;

/// A thread that encodes one picture after the other, until this is dropped.
pub(crate) struct WebpThread(Arc<Orders>);

/// The orders that nobody has taken.
#[derive(Default)]
struct Orders {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Default)]
struct Waiting {
    orders: VecDeque<Order>,
    /// Whether the thread must end.
    is_over: bool,
}

/// A picture, and where its file goes.
struct Order {
    picture: Picture,
    outcome: mpsc::Sender<Outcome>,
}

impl Order {
    fn carry_out(self) {
        // The error means that nobody waits any more.
        let _ = self.outcome.send(encode(self.picture));
    }
}

impl Orders {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, order: Order) {
        self.lock().orders.push_back(order);
        self.changed.notify_one();
    }

    /// Waits for the first order; `None` at the end.
    fn first(&self) -> Option<Order> {
        let mut waiting = self.lock();
        loop {
            if waiting.is_over {
                return None;
            }
            if let Some(order) = waiting.orders.pop_front() {
                return Some(order);
            }
            waiting = self.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn last(&self) -> Option<Order> {
        self.lock().orders.pop_back()
    }
}

impl WebpThread {
    /// Starts the thread. When this returns, it needs no other system calls than computing does.
    pub(crate) fn start() -> io::Result<Self> {
        let orders = Arc::<Orders>::default();
        let (started, starts) = mpsc::channel();
        let taken = orders.clone();
        thread::Builder::new().stack_size(STACK_BYTES).spawn(move || {
            let _ = started.send(());
            while let Some(order) = taken.first() {
                order.carry_out();
            }
        })?;
        starts.recv().map_err(io::Error::other)?;
        Ok(Self(orders))
    }
}

impl Drop for WebpThread {
    fn drop(&mut self) {
        self.0.lock().is_over = true;
        self.0.changed.notify_one();
    }
}

/// A WebP that is being encoded.
pub(super) struct Pending {
    outcome: mpsc::Receiver<Outcome>,
    orders: Option<Arc<Orders>>,
}

impl Pending {
    /// Waits for the file, and meanwhile carries out orders that the thread has not taken.
    pub(super) fn finish(self) -> Outcome {
        while let Some(order) = self.orders.as_ref().and_then(|orders| orders.last()) {
            order.carry_out();
        }
        // Without an outcome, the thread has panicked.
        self.outcome.recv().unwrap_or_else(|_| Err(ThumbnailError::damaged("WebP could not be encoded")))
    }
}

/// Begins to encode a picture, whose colours are not multiplied by alpha. Without a thread it is done when this returns.
pub(super) fn begin(picture: Picture, thread: Option<&WebpThread>) -> Pending {
    let (sender, outcome) = mpsc::channel();
    let order = Order { picture, outcome: sender };
    let orders = thread.map(|thread| thread.0.clone());
    match &orders {
        Some(orders) => orders.push(order),
        None => order.carry_out(),
    }
    Pending { outcome, orders }
}

/// A WebP with loss; with the alpha channel of the picture, if it has one.
fn encode(picture: Picture) -> Outcome {
    let config = config()?;
    match picture {
        Picture::Planes(planes) => planes::encode(planes, &config),
        Picture::Pixels(pixels) => encode_pixels(pixels, &config),
    }
}

fn encode_pixels(pixels: Pixels, config: &WebPConfig) -> Outcome {
    let Pixels { width, height, layout, bytes } = pixels;
    let (bytes, layout) = match layout {
        Layout::Rgb => (Cow::from(bytes), PixelLayout::Rgb),
        Layout::Rgba => (Cow::from(bytes), PixelLayout::Rgba),
        Layout::Grey => (bytes.iter().flat_map(|grey| [*grey; 3]).collect(), PixelLayout::Rgb),
        Layout::GreyAlpha => {
            let pixels = bytes.as_chunks::<2>().0.iter();
            (pixels.flat_map(|&[grey, alpha]| [grey, grey, grey, alpha]).collect(), PixelLayout::Rgba)
        }
        Layout::Cmyk => return Err(ThumbnailError::damaged("its colours were not converted")),
    };
    let file = Encoder::new(&bytes, layout, width, height).encode_advanced(config);
    file.map(|file| file.to_vec()).map_err(failure)
}

fn config() -> Result<WebPConfig, ThumbnailError> {
    let mut config = WebPConfig::new().map_err(|()| ThumbnailError::damaged(OTHER_VERSION))?;
    config.method = METHOD;
    config.quality = QUALITY;
    config.alpha_quality = ALPHA_QUALITY;
    Ok(config)
}

fn failure(error: WebPEncodingError) -> ThumbnailError {
    match error {
        WebPEncodingError::VP8_ENC_ERROR_OUT_OF_MEMORY
        | WebPEncodingError::VP8_ENC_ERROR_BITSTREAM_OUT_OF_MEMORY => ThumbnailError::NeedsTooMuchMemory,
        error => ThumbnailError::damaged(format!("{error:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grey(side: u32) -> Picture {
        let bytes = (0..=u8::MAX).cycle().take((side * side) as usize).collect();
        Picture::Pixels(Pixels { width: side, height: side, layout: Layout::Grey, bytes })
    }

    #[test]
    fn the_thread_encodes_what_is_encoded_without_one_and_keeps_orders_apart() {
        let thread = WebpThread::start().unwrap();
        let begun = [64, 16, 32].map(|side| (side, begin(grey(side), Some(&thread))));
        // One that nobody waits for delays none.
        drop(begin(grey(48), Some(&thread)));
        for (side, pending) in begun {
            let file = pending.finish().unwrap();
            assert_eq!(file, begin(grey(side), None).finish().unwrap(), "{side}");
        }
    }

    #[test]
    fn a_picture_that_cannot_be_encoded_fails_and_the_next_one_does_not() {
        let thread = WebpThread::start().unwrap();
        let ink = Pixels { width: 1, height: 1, layout: Layout::Cmyk, bytes: vec![0; 4] };
        begin(Picture::Pixels(ink), Some(&thread)).finish().unwrap_err();
        begin(grey(8), Some(&thread)).finish().unwrap();
    }

    #[test]
    fn orders_are_carried_out_while_the_thread_is_busy_or_has_ended() {
        let thread = WebpThread(Arc::default());
        let begun = [8, 16].map(|side| begin(grey(side), Some(&thread)));
        for pending in begun {
            pending.finish().unwrap();
        }
    }

    #[test]
    fn a_thread_that_panicked_fails_one_picture_and_the_next_one_is_encoded_without_it() {
        let thread = WebpThread::start().unwrap();
        let short = Pixels { width: 8, height: 8, layout: Layout::Rgb, bytes: vec![0; 3] };
        let pending = begin(Picture::Pixels(short), Some(&thread));
        // It only waits, so the thread takes the order.
        Pending { orders: None, ..pending }.finish().unwrap_err();
        begin(grey(8), Some(&thread)).finish().unwrap();
    }
}
