//! The storage setting.

use std::{fmt, path::PathBuf, str::FromStr};

/// A local directory or a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StorageUrl {
    /// `file:///absolute/path`, or `file:relative/path`.
    Local(PathBuf),
    /// `s3://bucket/prefix`; the rest comes from the usual `AWS_*` variables.
    S3 {
        /// The bucket's name.
        bucket: String,
        /// The prefix of every key; may be empty.
        prefix: String,
    },
}

/// The text is not a storage URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a storage URL; expected file:///var/lib/up or s3://bucket/prefix")]
pub struct BadStorageUrl(String);

impl FromStr for StorageUrl {
    type Err = BadStorageUrl;

    fn from_str(text: &str) -> Result<Self, BadStorageUrl> {
        let bad = || BadStorageUrl(text.to_owned());
        if let Some(rest) = text.strip_prefix("s3://") {
            let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
            let prefix = prefix.trim_matches('/').to_owned();
            return if bucket.is_empty() {
                Err(bad())
            } else {
                Ok(Self::S3 { bucket: bucket.to_owned(), prefix })
            };
        }
        let path = match text.strip_prefix("file:").ok_or_else(bad)? {
            // `file://host/path` refers to another machine.
            rest if rest.starts_with("//") && !rest.starts_with("///") => return Err(bad()),
            rest => rest.strip_prefix("//").unwrap_or(rest),
        };
        if path.is_empty() { Err(bad()) } else { Ok(Self::Local(PathBuf::from(path))) }
    }
}

impl fmt::Display for StorageUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StorageUrl::Local(path) if path.is_absolute() => write!(f, "file://{}", path.display()),
            StorageUrl::Local(path) => write!(f, "file:{}", path.display()),
            StorageUrl::S3 { bucket, prefix } => write!(f, "s3://{bucket}/{prefix}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn storage_urls_round_trip() {
        for text in ["file:///var/lib/up", "file:data", "s3://bucket/some/prefix", "s3://bucket/"] {
            assert_eq!(text.parse::<StorageUrl>().unwrap().to_string(), text);
        }
        for text in
            ["", "file:", "file://", "file://host/path", "s3://", "s3:///x", "/var/lib/up", "ftp://x/y"]
        {
            assert!(text.parse::<StorageUrl>().is_err(), "{text}");
        }
    }
}
