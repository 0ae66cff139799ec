//! The cause of a failed request in plain words, where an operator can end it.

use std::error::Error;

use super::StorageError;

/// A mistake in the settings of a store, as an answer of S3 shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Misconfiguration {
    /// No bucket has this name.
    #[error("the bucket does not exist: create it, or correct --storage")]
    NoBucket,
    /// Neither variables nor the host name credentials.
    #[error("there are no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")]
    NoCredentials,
    /// The store does not know the key, or the secret belongs to another key.
    #[error("the store refuses the credentials: correct AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")]
    WrongCredentials,
    /// Signatures hold for some minutes.
    #[error("the clocks of this host and of the store differ by minutes: synchronize them (NTP)")]
    ClockSkewed,
    /// The bucket is in another region, or the store knows itself by another name of one.
    #[error("the region is wrong: set AWS_REGION to the region of the bucket")]
    WrongRegion,
    /// Without the right to list, S3 does not tell whether an object is missing or may not be read.
    #[error(
        "a missing object is answered with 403 instead of 404: allow s3:ListBucket on the bucket, as jobs and states of \
         uploads depend on it"
    )]
    MayNotList,
    /// The credentials are valid, and lack a right.
    #[error(
        "the credentials lack a right: allow s3:GetObject, s3:PutObject and s3:DeleteObject on the objects, and \
         s3:ListBucket on the bucket"
    )]
    LacksRight,
}

/// The codes of S3 in the bodies of its answers.
const CODES: [(&str, Misconfiguration); 13] = [
    ("NoSuchBucket", Misconfiguration::NoBucket),
    ("InvalidAccessKeyId", Misconfiguration::WrongCredentials),
    ("SignatureDoesNotMatch", Misconfiguration::WrongCredentials),
    ("NotSignedUp", Misconfiguration::WrongCredentials),
    ("InvalidToken", Misconfiguration::WrongCredentials),
    ("ExpiredToken", Misconfiguration::WrongCredentials),
    ("RequestTimeTooSkewed", Misconfiguration::ClockSkewed),
    ("RequestExpired", Misconfiguration::ClockSkewed),
    ("AuthorizationHeaderMalformed", Misconfiguration::WrongRegion),
    ("PermanentRedirect", Misconfiguration::WrongRegion),
    ("IllegalLocationConstraintException", Misconfiguration::WrongRegion),
    ("AccessDenied", Misconfiguration::LacksRight),
    ("AllAccessDisabled", Misconfiguration::LacksRight),
];

/// The path at which a cloud machine is asked for the credentials of its role, when none are set.
const METADATA_PATHS: [&str; 2] = ["/latest/api/token", "/latest/meta-data"];

/// The verb of the request for an object that is known to be missing.
pub(super) const LOOK_FOR_MISSING: &str = "look for a missing object:";

impl Misconfiguration {
    /// The mistake that an error of the store shows, if it is one of these.
    pub(super) fn of(error: &(dyn Error + 'static)) -> Option<Self> {
        // The text of an error of the store repeats the answer.
        let text = error.to_string();
        if METADATA_PATHS.iter().any(|path| text.contains(path)) {
            return Some(Self::NoCredentials);
        }
        // A deletion is answered with 200, and with an error for each object, which `object_store` reads.
        let has = |code: &str| {
            [format!("<Code>{code}</Code>"), format!("(code: {code})")].iter().any(|part| text.contains(part))
        };
        CODES.iter().find(|(code, _)| has(code)).map(|(_, mistake)| *mistake)
    }
}

impl StorageError {
    /// The mistake in the settings of the store that caused this error, if it is known.
    #[must_use]
    pub fn misconfiguration(&self) -> Option<Misconfiguration> {
        let Self::Unavailable { attempted, source, .. } = self else { return None };
        match Misconfiguration::of(source) {
            None | Some(Misconfiguration::LacksRight)
                if *attempted == LOOK_FOR_MISSING
                    && matches!(source, object_store::Error::PermissionDenied { .. }) =>
            {
                Some(Misconfiguration::MayNotList)
            }
            mistake => mistake,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(attempted: &'static str, body: &str) -> Option<Misconfiguration> {
        let path = "probes/1".to_owned();
        let source = object_store::Error::PermissionDenied { path: path.clone(), source: body.into() };
        StorageError::sort(attempted, path, source).misconfiguration()
    }

    #[test]
    fn a_mistake_is_known_by_the_code_of_the_store() {
        for (code, mistake) in CODES {
            let body = format!("403: <Error><Code>{code}</Code><Message>Access Denied</Message></Error>");
            assert_eq!(refused("write", &body), Some(mistake), "{code}");
        }
        assert_eq!(refused("write", "<Code>SlowDown</Code>"), None);
        let deletion = "DeleteObjects request failed for key probes/1: Access Denied (code: AccessDenied)";
        assert_eq!(refused("delete", deletion), Some(Misconfiguration::LacksRight));
        let metadata = "Error performing PUT http://169.254.169.254/latest/api/token";
        assert_eq!(refused("write", metadata), Some(Misconfiguration::NoCredentials));
    }

    #[test]
    fn a_refused_read_of_a_missing_object_is_a_missing_right_to_list() {
        let denied = "<Code>AccessDenied</Code>";
        assert_eq!(refused(LOOK_FOR_MISSING, denied), Some(Misconfiguration::MayNotList));
        assert_eq!(refused(LOOK_FOR_MISSING, ""), Some(Misconfiguration::MayNotList));
        let skewed = "<Code>RequestTimeTooSkewed</Code>";
        assert_eq!(refused(LOOK_FOR_MISSING, skewed), Some(Misconfiguration::ClockSkewed));
    }

    #[test]
    fn an_object_of_a_missing_bucket_is_not_a_missing_object() {
        let missing = |body: &str| {
            let source = object_store::Error::NotFound { path: "x".to_owned(), source: body.into() };
            StorageError::sort("read", "x", source)
        };
        assert!(matches!(missing("<Code>NoSuchKey</Code>"), StorageError::NotFound(_)));
        let no_bucket = missing("<Code>NoSuchBucket</Code>");
        assert_eq!(no_bucket.misconfiguration(), Some(Misconfiguration::NoBucket));
    }
}
