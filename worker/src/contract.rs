//! The contract of server and worker: ids, sizes, formats, facts, messages and keys. All of it is sent or stored.
//!
//! ```text
//!  id  size  webp_sizes  format  encoding  fingerprint  hour   names and values
//!      ticket                                     the limits of a ticket, its uses, and shares of stored bytes
//!      record                                     an accepted upload
//!      result   failure   tombstone               the end of a generation, and of an upload
//!      link   thumbnail_link   upload                              the view of clients
//!      message                                    the messages
//!      key                                        the paths in storage
//! ```
//!
//! Nothing here imports anything else of this crate.

pub mod encoding;
pub mod failure;
pub mod fingerprint;
pub mod format;
pub mod hour;
pub mod id;
pub mod key;
pub mod link;
pub mod message;
pub mod record;
pub mod result;
pub mod size;
pub mod thumbnail_link;
pub mod ticket;
pub mod tombstone;
pub mod upload;
pub mod warning;
pub mod webp_sizes;
