//! Runs a command on a kernel, as it seems to it, that refuses Landlock: as an old one does, or a service manager whose
//! filter does not know it.
//!
//! ```text
//! without-landlock up-server check
//! ```

use std::{env, error::Error, os::unix::process::CommandExt, process::Command};

use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};

const REFUSED: [libc::c_long; 3] =
    [libc::SYS_landlock_create_ruleset, libc::SYS_landlock_add_rule, libc::SYS_landlock_restrict_self];

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args_os().skip(1);
    let program = arguments.next().ok_or("usage: without-landlock COMMAND [ARGUMENT…]")?;
    let refuse = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let rules = REFUSED.map(|call| (call, Vec::new())).into_iter().collect();
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refuse, env::consts::ARCH.try_into()?)?;
    seccompiler::apply_filter(&BpfProgram::try_from(filter)?)?;
    Err(Command::new(program).args(arguments).exec().into())
}
