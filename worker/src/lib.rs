//! The message contract of up!, its transports, and the worker that makes thumbnails.
//!
//! The server depends on this crate because it posts the worker's jobs. The modules are drawn in layers, lowest first.
//! A module imports only modules of the lines above its own, or of its own line.
//!
//! ```text
//! clock directory failpoint logging        time, a directory that vanishes, crash points of tests, logs
//! shutdown trace                          signals, trace ids
//! contract                                ids, facts, messages, keys: the stored form and the wire form
//! probe                                   headers of pictures, without decoding
//! original                                an original on its way from storage to a decoder
//! storage telemetry                       facts and indexes; metrics
//! transport thumbnail                     jobs and announcements, over SQLite or RabbitMQ; pixels
//! confinement delete requeue              the sandbox of decoders; uploads are deleted, or posted again
//! dead_letter_commands                    `up-worker dead`
//! config                                  settings
//! maker measure                           bytes in, thumbnails out; the stages alone, for benchmarks
//! drill                                   `up-worker drill`: attacks on the sandbox
//! consumer                                receive, make, store, announce and acknowledge
//! testing                                 sample values, stores and a transport for tests
//! process                                 from a command line to an exit code
//! ```

pub mod clock;
pub mod config;
pub mod confinement;
pub mod consumer;
pub mod contract;
mod dead_letter_commands;
pub mod delete;
pub mod directory;
mod drill;
pub mod failpoint;
pub mod logging;
pub mod maker;
pub mod measure;
pub mod original;
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
    hour::Hour,
    id::UploadId,
    key::StorageKey,
    link::{LinkBase, Links},
    message::{Changed, ResizeJob},
    record::{JobName, Lane, UploadRecord},
    result::{Making, ThumbnailFact, UploadResult},
    size::{Size, Sizes, fit},
    ticket::{StoredShare, TicketId, TicketLimits},
    tombstone::{ExpiryEntry, Tombstone},
    upload::{State, Upload},
    warning::Warning,
    webp_sizes::WebpSizes,
};
pub use storage::{Storage, UploadStatus};
