//! The seccomp filter: an allow-list of the system calls that computing needs. Every other call fails with `EPERM`. An
//! unusual C library survives that error; killing the process instead would fail good pictures.

use std::env::consts::ARCH;

use rustix::process::{Resource, getpid};
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen as Length, SeccompCmpOp as Is,
    SeccompCondition as Condition, SeccompFilter, SeccompRule as Rule,
};

use super::status::LayerStatus;

/// System calls that are allowed with any arguments.
const ALLOWED: [libc::c_long; 26] = [
    // Open pipes.
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_close,
    libc::SYS_fstat,
    // Memory.
    libc::SYS_brk,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    // Time, random numbers, the number of processors.
    libc::SYS_clock_gettime,
    libc::SYS_gettimeofday,
    libc::SYS_getrandom,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_futex,
    // Ending, also by a panic or an abort.
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_restart_syscall,
    libc::SYS_rseq,
];

/// Applies the filter to all threads.
pub(super) fn apply() -> Result<LayerStatus, seccompiler::Error> {
    let mut rules: std::collections::BTreeMap<i64, Vec<Rule>> =
        ALLOWED.into_iter().map(|call| (call, Vec::new())).collect();
    // Memory is never made executable.
    let no_code = || -> Result<Rule, BackendError> {
        let executable = u64::from(libc::PROT_EXEC.unsigned_abs());
        Rule::new(vec![Condition::new(2, Length::Dword, Is::MaskedEq(executable), 0)?])
    };
    rules.insert(libc::SYS_mmap, vec![no_code()?]);
    rules.insert(libc::SYS_mprotect, vec![no_code()?]);
    // An abort is a signal to the own process.
    let own = u64::from(getpid().as_raw_nonzero().get().unsigned_abs());
    rules.insert(libc::SYS_tgkill, vec![Rule::new(vec![Condition::new(0, Length::Dword, Is::Eq, own)?])?]);
    // The processor limit is set again for every job.
    let cpu = Condition::new(1, Length::Dword, Is::Eq, Resource::Cpu as u64)?;
    let oneself = Condition::new(0, Length::Dword, Is::Eq, 0)?;
    rules.insert(libc::SYS_prlimit64, vec![Rule::new(vec![oneself, cpu])?]);
    let refused = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let filter = SeccompFilter::new(rules, refused, SeccompAction::Allow, ARCH.try_into()?)?;
    let program: BpfProgram = filter.try_into()?;
    seccompiler::apply_filter_all_threads(&program)?;
    Ok(LayerStatus::Enforced)
}
