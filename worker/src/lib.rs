//! The message contract of up!, its transports, and the worker that makes thumbnails.
//!
//! The server depends on this crate because it posts the worker's messages. How the parts meet:
//!
//! ```text
//!  message  upload  outcome  upload_id  size  format    the contract: what travels and what is stored
//!      ▲        ▲
//!  storage   transport ─ transport::{sqlite, rabbitmq}  where it is stored, how it travels
//!      ▲        ▲
//!      consumer ─► maker ─► confinement ─► thumbnail     receive → make → store → announce → ack
//!          ▲
//!        main                                           a process
//! ```

pub mod config;
pub mod confinement;
pub mod consumer;
pub mod dead;
mod encoding;
pub mod failpoint;
mod format;
mod link;
pub mod logging;
pub mod maker;
pub mod measure;
pub mod message;
pub mod outcome;
pub mod probe;
pub mod process;
pub mod shutdown;
mod size;
pub mod storage;
pub mod telemetry;
#[cfg(test)]
mod testing;
mod thumbnail;
pub mod trace;
pub mod transport;
pub mod upload;
mod upload_id;

pub use encoding::Encoding;
pub use format::Format;
pub use link::LinkBase;
pub use message::{Announcement, Completion, ResizeJob, Started};
pub use outcome::{Outcome, UploadRecord};
pub use size::{BadSizes, MAX_THUMBNAIL_SIDE, Size, Sizes, fit};
pub use storage::{Storage, StorageKey};
pub use upload::{State, Upload};
pub use upload_id::{NotAnUploadId, UploadId};
