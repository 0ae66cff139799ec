//! Where the parts of an upload are found by a client.

use std::{convert::Infallible, str::FromStr};

use crate::{Size, UploadId, upload::Links};

/// What every link begins with: nothing (links are paths from the root), or the public URL of the service.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LinkBase(String);

impl LinkBase {
    /// The path or URL of an upload.
    #[must_use]
    pub fn upload(&self, id: UploadId) -> String {
        format!("{}/uploads/{id}", self.0)
    }

    /// The path or URL of a thumbnail.
    #[must_use]
    pub fn thumbnail(&self, id: UploadId, size: Size) -> String {
        format!("{}/uploads/{id}/{size}", self.0)
    }

    /// All links of an upload.
    #[must_use]
    pub fn links(&self, id: UploadId) -> Links {
        let this = self.upload(id);
        Links { original: format!("{this}/original"), events: format!("{this}/events"), this }
    }

    /// Whether links are full URLs rather than paths from the root.
    #[must_use]
    pub fn is_absolute(&self) -> bool {
        !self.0.is_empty()
    }
}

impl FromStr for LinkBase {
    type Err = Infallible;

    /// Takes a URL with or without a slash at its end; whether it is one is the settings' business.
    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.trim_end_matches('/').to_owned()))
    }
}
