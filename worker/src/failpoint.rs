//! Named points at which a test parks, fails or kills this process.
//!
//! Only a build with the feature `failpoints` has them, and only a command line turns that on. There the variable
//! `UP_FAILPOINTS` says what happens where: `name=action`, several separated by `;`. With `@file` behind the action it
//! happens once only, to whoever creates that file first, of any number of processes; its process id is written there.
//! Where a point has a subject, `name:subject=action` is for that subject alone.
//!
//! | action | what happens |
//! | --- | --- |
//! | `abort` | the process aborts |
//! | `park` | the caller waits for ever |
//! | `drop` | [`hit`] answers [`Hit::Drop`]: the caller forgets to do what comes next |

/// What the caller of a failpoint is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hit {
    /// Go on.
    Pass,
    /// Leave out what comes next.
    Drop,
}

/// Passes a point. Costs nothing without the feature.
#[cfg(not(feature = "failpoints"))]
#[inline]
pub async fn hit(_name: &str, _subject: &str) -> Hit {
    Hit::Pass
}

/// Passes a point, and does there what `UP_FAILPOINTS` says.
#[cfg(feature = "failpoints")]
pub async fn hit(name: &str, subject: &str) -> Hit {
    let Ok(wanted) = std::env::var("UP_FAILPOINTS") else { return Hit::Pass };
    let is_meant = |point: &str| match point.split_once(':') {
        Some((wanted, whom)) => wanted == name && whom == subject,
        None => point == name,
    };
    let action =
        wanted.split(';').filter_map(|point| point.split_once('=')).find(|(point, _)| is_meant(point));
    let Some((_, action)) = action else { return Hit::Pass };
    let action = match action.split_once('@') {
        None => action,
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

/// Whether this process is the first to come by. The marker appears whole, so that who waits for it can read it.
#[cfg(feature = "failpoints")]
fn is_first(marker: &str) -> bool {
    let pid = std::process::id();
    let own = format!("{marker}.{pid}");
    let written = std::fs::write(&own, pid.to_string());
    let first = written.and_then(|()| std::fs::hard_link(&own, marker)).is_ok();
    let _ = std::fs::remove_file(&own);
    first
}
