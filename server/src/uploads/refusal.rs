//! The reasons for which a picture is not accepted.

use super::body::BodyError;
use crate::problem::Problem;

/// The reason for which a picture was not accepted.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// The picture or the request has this problem. The rest of the body can be discarded.
    Problem(Problem),
    /// The body ended early.
    Body(BodyError),
    /// The form is malformed, and cannot be read further.
    Form(multer::Error),
    /// The request was evicted for one of another client. The body is not read further.
    Evicted,
}

impl<P: Into<Problem>> From<P> for Refusal {
    fn from(problem: P) -> Self {
        Self::Problem(problem.into())
    }
}

impl From<BodyError> for Refusal {
    fn from(error: BodyError) -> Self {
        Self::Body(error)
    }
}

impl From<multer::Error> for Refusal {
    fn from(error: multer::Error) -> Self {
        Self::Form(error)
    }
}
