//! Named points at which a test parks, fails or kills this process.
//!
//! Only a build with the feature `failpoints` has them, and only a command line turns that on. The variable
//! `UP_FAILPOINTS` sets the actions: `name=action`, several separated by `;`. With `@file` behind the action, only the
//! process that creates that file first takes it, once; the file then holds its process id. `name:subject=action`
//! applies to one subject only.
//!
//! | action | what happens |
//! | --- | --- |
//! | `abort` | the process aborts |
//! | `park` | the caller waits for ever |
//! | `drop` | [`hit`] returns [`Hit::Drop`]: the caller skips its next step |

/// How the caller of a failpoint continues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hit {
    /// Go on.
    Pass,
    /// Skip the next step.
    Drop,
}

/// Passes a point. Costs nothing without the feature.
#[cfg(not(feature = "failpoints"))]
#[inline]
pub async fn hit(_name: &str, _subject: &str) -> Hit {
    Hit::Pass
}

/// Passes a point, and takes the action that `UP_FAILPOINTS` sets for it.
#[cfg(feature = "failpoints")]
pub async fn hit(name: &str, subject: &str) -> Hit {
    let Some(action) = action(name, subject) else { return Hit::Pass };
    let action = match action.split_once('@') {
        None => action.as_str(),
        Some((action, marker)) if is_first(marker) => action,
        Some(_) => return Hit::Pass,
    };
    tracing::warn!(name, subject, action, "failpoint");
    match action {
        "abort" => std::process::abort(),
        "park" => std::future::pending().await,
        "drop" => Hit::Drop,
        other => panic!("the failpoint {name} has no action `{other}`"),
    }
}

/// Whether a command line drops this step, outside of async code. Never without the feature.
#[cfg(not(feature = "failpoints"))]
#[inline]
#[must_use]
pub const fn is_dropped(_name: &str, _subject: &str) -> bool {
    false
}

/// Whether `UP_FAILPOINTS` drops this step, outside of async code.
#[cfg(feature = "failpoints")]
#[must_use]
pub fn is_dropped(name: &str, subject: &str) -> bool {
    action(name, subject).is_some_and(|action| action == "drop")
}

/// The action that `UP_FAILPOINTS` sets for a point and its subject.
#[cfg(feature = "failpoints")]
fn action(name: &str, subject: &str) -> Option<String> {
    let wanted = std::env::var("UP_FAILPOINTS").ok()?;
    let is_meant = |point: &str| match point.split_once(':') {
        Some((wanted, whom)) => wanted == name && whom == subject,
        None => point == name,
    };
    let mut points = wanted.split(';').filter_map(|point| point.split_once('='));
    points.find(|(point, _)| is_meant(point)).map(|(_, action)| action.to_owned())
}

/// Whether this process reaches the point first. The marker file appears with its content, so that a waiting test can
/// read it at once.
#[cfg(feature = "failpoints")]
fn is_first(marker: &str) -> bool {
    let pid = std::process::id();
    let own = format!("{marker}.{pid}");
    let written = std::fs::write(&own, pid.to_string());
    let first = written.and_then(|()| std::fs::hard_link(&own, marker)).is_ok();
    let _ = std::fs::remove_file(&own);
    first
}
