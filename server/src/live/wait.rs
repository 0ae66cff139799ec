//! `Prefer: wait=20` (RFC 7240): an answer that is delayed until the upload ends.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use tokio::time::{Instant, timeout_at};
use worker::{Upload, UploadId};

use crate::app::App;

/// The longest wait: proxies close a request that gets no bytes for half a minute.
const MAX_WAIT: Duration = Duration::from_secs(25);

static PREFER: HeaderName = HeaderName::from_static("prefer");
static PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// The maximum time that a client wants to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wait(Duration);

impl Wait {
    /// Parses the preference. Unknown and malformed preferences are ignored, as RFC 7240 requires.
    pub(crate) fn parse(headers: &HeaderMap) -> Option<Self> {
        headers
            .get_all(&PREFER)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split([',', ';']))
            .filter_map(|preference| preference.split_once('='))
            .find(|(name, _)| name.trim().eq_ignore_ascii_case("wait"))
            .and_then(|(_, seconds)| seconds.trim().trim_matches('"').parse().ok())
            .map(|seconds| Self(Duration::from_secs(seconds).min(MAX_WAIT)))
    }

    /// The header that confirms the preference.
    pub(crate) fn applied(self) -> (HeaderName, HeaderValue) {
        let value = format!("wait={}", self.0.as_secs());
        (PREFERENCE_APPLIED.clone(), HeaderValue::from_str(&value).expect("digits are a header value"))
    }

    /// Waits until every upload has ended, the time is over, or the server drains. Answers their states in the same
    /// order.
    pub(crate) async fn for_end(self, app: &App, uploads: Vec<Upload>) -> Vec<Upload> {
        let deadline = Instant::now() + self.0;
        let subscriber = app.hub.open();
        let mut uploads = uploads;
        for upload in &mut uploads {
            // Without a free subscription the answer comes at once, as without the preference.
            if subscriber.subscribe(upload.id).is_err() {
                return uploads;
            }
            refresh(app, upload).await;
        }
        while !uploads.iter().all(|upload| upload.state.is_final()) {
            let news = tokio::select! {
                () = app.draining.cancelled() => break,
                news = timeout_at(deadline, subscriber.changes()) => news,
            };
            let Ok(news) = news else { break };
            for new in news {
                if let Some(upload) = uploads.iter_mut().find(|upload| upload.id == new.id) {
                    *upload = upload.clone().merge(new);
                }
            }
        }
        uploads
    }

    /// Waits for one upload.
    pub(crate) async fn for_one(self, app: &App, upload: Upload) -> Upload {
        let waited = self.for_end(app, vec![upload.clone()]).await;
        waited.into_iter().next().unwrap_or(upload)
    }
}

async fn refresh(app: &App, upload: &mut Upload) {
    let id: UploadId = upload.id;
    if let Ok(Some(now)) = app.upload(id).await {
        *upload = upload.clone().merge(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preference_is_read_bounded_or_ignored() {
        let wait = |value: &'static str| {
            let headers = HeaderMap::from_iter([(PREFER.clone(), HeaderValue::from_static(value))]);
            Wait::parse(&headers).map(|wait| wait.0.as_secs())
        };
        assert_eq!(wait("wait=20"), Some(20));
        assert_eq!(wait("respond-async, WAIT = 5"), Some(5));
        assert_eq!(wait("wait=3600"), Some(25));
        for ignored in ["wait", "wait=soon", "wait=-1", "return=minimal", ""] {
            assert_eq!(wait(ignored), None, "{ignored}");
        }
    }
}
