//! The verdict on an attempt: whether a layer held, from the outcome of its job.

use crate::{
    confinement::{ESCAPED, REFUSED},
    maker::{MakeError, ThumbnailError, ThumbnailSet},
};

use super::attempts::Layer;

/// Whether an attempt was stopped, and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) held: bool,
    pub(super) ended: String,
}

/// The verdict on a job that `layer` had to stop; `None` if the job did not end.
pub(super) fn of(made: Option<Result<ThumbnailSet, MakeError>>, layer: Layer) -> Verdict {
    let (held, ended) = match made {
        None => (false, "it still ran after the time limit".to_owned()),
        Some(Ok(_)) => (false, "its answer was accepted".to_owned()),
        Some(Err(MakeError::Picture(ThumbnailError::TookTooLong(limit)))) => {
            (layer == Layer::Clock, format!("killed after {limit:?}"))
        }
        Some(Err(MakeError::Picture(ThumbnailError::NeedsTooMuchMemory))) => {
            (layer == Layer::Limits, "ended for want of memory".to_owned())
        }
        Some(Err(MakeError::Picture(ThumbnailError::CannotBeDecoded(detail)))) => reported(&detail, layer),
        Some(Err(error)) => (false, format!("unclear: {error}")),
    };
    Verdict { held, ended }
}

fn reported(detail: &str, layer: Layer) -> (bool, String) {
    if let Layer::Check(check) = layer {
        return match detail.contains(check) {
            true => (true, format!("refused: {check}")),
            false => (false, detail.to_owned()),
        };
    }
    match detail.strip_prefix(ESCAPED) {
        Some(escaped) => (false, escaped.to_owned()),
        // A crash tells nothing: no layer kills a process, and one that dies before its attack has tried nothing.
        None => (detail.starts_with(REFUSED), detail.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::confinement::LONG_MESSAGE;

    fn verdict(error: ThumbnailError, layer: Layer) -> bool {
        of(Some(Err(error.into())), layer).held
    }

    fn said(detail: String) -> ThumbnailError {
        ThumbnailError::CannotBeDecoded(detail)
    }

    #[test]
    fn only_the_layer_that_has_to_stop_an_attempt_counts() {
        assert!(verdict(said("refused: EPERM".into()), Layer::Seccomp));
        assert!(
            !verdict(said("the decoder crashed: SIGSYS".into()), Layer::Seccomp),
            "before or after its attack?"
        );
        assert!(!verdict(said(format!("{ESCAPED}it connected")), Layer::Seccomp));
        assert!(!verdict(said("unclear: no such file".into()), Layer::Seccomp));
        let late = || ThumbnailError::TookTooLong(Duration::from_secs(1));
        assert!(verdict(late(), Layer::Clock));
        assert!(!verdict(late(), Layer::Seccomp), "it got through, and the clock ended it");
        assert!(!verdict(late(), Layer::Check(LONG_MESSAGE)));
        assert!(verdict(said(format!("the decoder crashed: {LONG_MESSAGE}")), Layer::Check(LONG_MESSAGE)));
        assert!(!verdict(said("the decoder crashed: EOF".into()), Layer::Check(LONG_MESSAGE)));
        assert!(!of(None, Layer::Clock).held);
        assert!(!of(Some(Err(MakeError::Machine("killed".into()))), Layer::Limits).held);
    }
}
