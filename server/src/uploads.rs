//! The endpoints of uploads: accept, status, thumbnails, originals, retry, delete.

pub(crate) mod accept;
pub(crate) mod body;
pub(crate) mod chunks;
pub(crate) mod delete;
pub(crate) mod disposition;
pub(crate) mod form;
pub(crate) mod form_results;
pub(crate) mod header;
pub(crate) mod idempotency;
pub(crate) mod incoming;
pub(crate) mod location;
pub(crate) mod name;
pub(crate) mod originals;
pub(crate) mod ranges;
pub(crate) mod refusal;
pub(crate) mod reply;
pub(crate) mod representation;
pub(crate) mod retry;
pub(crate) mod status;
pub(crate) mod thumbnails;
pub(crate) mod token_cookie;
pub(crate) mod upload_page;
