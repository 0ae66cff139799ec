//! What travels between server and worker and what is stored: ids, sizes, formats, facts, messages and keys.
//!
//! ```text
//!  id  size  format  encoding  fingerprint        names and values
//!      record                                     what was accepted
//!      result   failure                           how a generation ended
//!      link   upload                              what clients see
//!      message                                    what travels
//!      key                                        where it is stored
//! ```
//!
//! Nothing here imports anything else of this crate.

pub mod encoding;
pub mod failure;
pub mod fingerprint;
pub mod format;
pub mod id;
pub mod key;
pub mod link;
pub mod message;
pub mod record;
pub mod result;
pub mod size;
pub mod upload;
