//! The message contract of up!, and the worker that makes thumbnails.

mod format;
mod size;

pub use format::Format;
pub use size::{BadSizes, Size, Sizes};
