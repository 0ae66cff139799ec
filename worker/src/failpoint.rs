//! Named points at which a test parks, fails or kills this process.
//!
//! Only a build with the feature `failpoints` has them, and only a command line turns that on. There the variable
//! `UP_FAILPOINTS` says what happens where: `name=action`, several separated by `;`. With `@file` behind the action it
//! happens once only, to whoever creates that file first, on any number of processes.
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
#[expect(clippy::unused_async, reason = "its twin in a test build waits")]
pub async fn hit(_name: &'static str) -> Hit {
    Hit::Pass
}

/// Passes a point, and does there what `UP_FAILPOINTS` says.
#[cfg(feature = "failpoints")]
pub async fn hit(name: &'static str) -> Hit {
    let Ok(wanted) = std::env::var("UP_FAILPOINTS") else {
        return Hit::Pass;
    };
    let action =
        wanted.split(';').filter_map(|point| point.split_once('=')).find(|(point, _)| *point == name);
    let Some((_, action)) = action else {
        return Hit::Pass;
    };
    let action = match action.split_once('@') {
        None => action,
        Some((_, marker)) if std::fs::File::create_new(marker).is_err() => return Hit::Pass,
        Some((action, _)) => action,
    };
    tracing::warn!(name, action, "failpoint");
    match action {
        "abort" => std::process::abort(),
        "park" => std::future::pending().await,
        "drop" => Hit::Drop,
        other => panic!("the failpoint {name} has no action `{other}`"),
    }
}
