//! The releases of RabbitMQ that tests run on.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

/// The variable that names the release: `installed` (the default), `4` or `4-khepri`.
pub const RELEASE: &str = "UP_TEST_RABBITMQ_RELEASE";

/// Debian's path of the programs that the wrappers in `/usr/sbin` start. The wrappers want users of their own.
const PROGRAMS: &str = "/usr/lib/rabbitmq/bin";

/// Runs a program in a root. It needs `/proc`, which is mounted for it alone and goes with it.
const ENTER: &str = r#"mount -t proc proc "$0/proc"; exec chroot "$0" "$@""#;

/// A release of RabbitMQ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Release {
    /// The one that is installed.
    Installed,
    /// RabbitMQ 4, in the directory of a whole Debian that `integration-tests/trixie` makes.
    Four {
        /// The directory.
        root: PathBuf,
        /// Whether metadata is kept in Khepri instead of Mnesia.
        khepri: bool,
    },
}

impl Release {
    /// The one that the variable names.
    ///
    /// # Panics
    /// When it names none, or there is no RabbitMQ 4.
    #[must_use]
    pub fn chosen() -> Self {
        let chosen = env::var(RELEASE).unwrap_or_default();
        let khepri = match chosen.as_str() {
            "" | "installed" => return Self::Installed,
            "4" => false,
            "4-khepri" => true,
            other => panic!("{RELEASE}={other}: installed, 4 or 4-khepri was expected"),
        };
        let root = four().expect("RabbitMQ 4 is there: integration-tests/trixie makes it, as root");
        Self::Four { root, khepri }
    }

    pub(super) fn is_khepri(&self) -> bool {
        matches!(self, Self::Four { khepri: true, .. })
    }

    /// A directory for a node.
    pub(super) fn directory(&self) -> TempDir {
        let made = match self {
            Self::Installed => TempDir::with_prefix("up-rabbit-"),
            Self::Four { root, .. } => TempDir::with_prefix_in("up-rabbit-", root.join("tmp")),
        };
        made.expect("a temporary directory can be made")
    }

    /// A path as the node sees it.
    pub(super) fn inside(&self, path: &Path) -> PathBuf {
        match self {
            Self::Installed => path.to_owned(),
            Self::Four { root, .. } => {
                let below = path.strip_prefix(root).expect("the directories of a node lie in its root");
                Path::new("/").join(below)
            }
        }
    }

    /// One of its programs.
    pub(super) fn program(&self, name: &str) -> Command {
        let program = Path::new(PROGRAMS).join(name);
        match self {
            Self::Installed => Command::new(program),
            Self::Four { root, .. } => {
                let mut command = Command::new("unshare");
                command.args(["--mount", "sh", "-ec", ENTER]).arg(root).arg(program);
                command
            }
        }
    }
}

/// The root of RabbitMQ 4, if it was made.
fn four() -> Option<PathBuf> {
    let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cache")))?;
    let root = cache.join("up-tests/trixie");
    root.is_dir().then_some(root)
}
