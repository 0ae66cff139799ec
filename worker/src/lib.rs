//! The message contract of up!, its transports, and the worker that makes thumbnails.
//!
//! The server depends on this crate because it posts the worker's jobs. How the parts meet:
//!
//! ```text
//!  contract                                             ids, facts, messages, keys: what travels and what is stored
//!      ▲        ▲
//!  storage   transport ─ transport::{sqlite, rabbitmq}  where it is stored, how it travels
//!      ▲        ▲
//!      requeue                                          a failed upload is posted again: for server and operators
//!      consumer ─► maker ─► confinement ─► thumbnail    receive → make → store → announce and acknowledge
//!          ▲
//!        process                                        from a command line to an exit code
//! ```

pub mod clock;
pub mod config;
pub mod confinement;
pub mod consumer;
pub mod contract;
pub mod dead_letter_commands;
pub mod failpoint;
pub mod logging;
pub mod maker;
pub mod measure;
pub mod probe;
pub mod process;
pub mod requeue;
pub mod shutdown;
pub mod storage;
pub mod telemetry;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod thumbnail;
pub mod trace;
pub mod transport;

pub use contract::{
    encoding::Encoding,
    failure::{Failure, UploadFailure},
    fingerprint::{FileDigest, Fingerprint},
    format::Format,
    id::{NotAnUploadId, UploadId},
    key::StorageKey,
    link::{LinkBase, Links},
    message::{Changed, ResizeJob},
    record::{JobName, Lane, UploadRecord},
    result::{Making, ThumbnailFact, UploadResult},
    size::{BadSizes, MAX_THUMBNAIL_SIDE, Size, Sizes, fit},
    upload::{State, Upload},
};
pub use storage::{Storage, UploadStatus};
