//! The sandbox layers. A decoder enforces them on itself, for good, before it reads untrusted input.

use std::{cell::Cell, fs, io, os::fd::RawFd, time::Duration};

use super::{
    ConfinementMode, filter,
    status::{LayerStatus, SandboxStatus},
};
use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, LandlockStatus, Ruleset, RulesetAttr,
    RulesetStatus, Scope,
};
use rustix::{
    process::{Resource, Rlimit, Signal, set_parent_process_death_signal, setrlimit},
    thread::{CapabilitySet, CapabilitySets, set_capabilities},
    time::{ClockId, clock_gettime},
};
use serde::{Deserialize, Serialize};

/// Seconds of processor time that a job gets on top of its timeout, so that the worker's clock ends the job first.
const CPU_MARGIN_S: u64 = 1;

/// The sandbox layers to enforce.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct SandboxLayers {
    pub(crate) limits: bool,
    pub(crate) landlock: bool,
    pub(crate) filter: bool,
}

impl From<ConfinementMode> for SandboxLayers {
    fn from(mode: ConfinementMode) -> Self {
        let wanted = mode != ConfinementMode::Off;
        Self { limits: wanted, landlock: wanted, filter: wanted }
    }
}

impl SandboxLayers {
    /// Enforces the layers. The process may allocate `memory` bytes on top of its present address space. Threads inherit
    /// Landlock and the loss of capabilities, and the filter reaches all of them but refuses to start any, so
    /// `start_threads` is called before it.
    pub(super) fn enforce(self, memory: u64, start_threads: impl FnOnce()) -> SandboxStatus {
        let enforced = |wanted: bool, layer: &dyn Fn() -> Result<LayerStatus, String>| {
            if wanted {
                layer().unwrap_or_else(LayerStatus::Missing)
            } else {
                LayerStatus::Missing("not wanted".into())
            }
        };
        // The order matters: the address space is read from a file, Landlock needs a descriptor, and the filter refuses
        // the system calls of both.
        let base = address_space();
        let landlock_abi = Cell::new(0);
        let landlock = enforced(self.landlock, &|| {
            let (status, abi) = landlock()?;
            landlock_abi.set(abi);
            Ok(status)
        });
        let limits = enforced(self.limits, &|| {
            let base = base.as_ref().map_err(ToString::to_string)?;
            limits(base.saturating_add(memory)).map_err(|error| error.to_string())
        });
        start_threads();
        let filter = enforced(self.filter, &|| filter::apply().map_err(|error| error.to_string()));
        SandboxStatus { limits, landlock, landlock_abi: landlock_abi.get(), filter }
    }
}

/// Denies paths, TCP, abstract sockets and signals to other processes. Also returns the ABI of the kernel.
fn landlock() -> Result<(LayerStatus, u32), String> {
    let ruleset = || {
        Ruleset::default()
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(AccessFs::from_all(ABI::V5))?
            .handle_access(AccessNet::from_all(ABI::V4))?
            .scope(Scope::from_all(ABI::V6))?
            .create()?
            .restrict_self()
    };
    let status = ruleset().map_err(|error| error.to_string())?;
    let abi = match status.landlock {
        LandlockStatus::Available { effective_abi, kernel_abi } => kernel_abi.unwrap_or(effective_abi as i32),
        LandlockStatus::NotEnabled | LandlockStatus::NotImplemented => 0,
    };
    let enforced = match status.ruleset {
        RulesetStatus::FullyEnforced => LayerStatus::Enforced,
        RulesetStatus::PartiallyEnforced => LayerStatus::Partial,
        RulesetStatus::NotEnforced => return Err("the kernel does not support it".into()),
    };
    Ok((enforced, abi.unsigned_abs()))
}

/// Takes all capabilities of a worker that runs as root, with which it could raise the limits again, and sets them.
fn limits(address_space: u64) -> io::Result<LayerStatus> {
    let none = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })?;
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // Open descriptors stay open.
    for (resource, limit) in
        [(Resource::Core, 0), (Resource::Fsize, 0), (Resource::Nofile, 0), (Resource::As, address_space)]
    {
        setrlimit(resource, Rlimit { current: Some(limit), maximum: Some(limit) })?;
    }
    Ok(LayerStatus::Enforced)
}

/// Closes descriptors that leaked from the process that started the worker: a decoder could write to them. Must be called
/// before this process opens anything.
pub(super) fn close_leaked_descriptors() -> io::Result<()> {
    let names = fs::read_dir("/proc/self/fd")?.flatten().map(|entry| entry.file_name());
    let open: Vec<RawFd> = names.filter_map(|name| name.to_str()?.parse().ok()).collect();
    // The descriptor of the listing itself is closed by now.
    let is_open = |descriptor: &RawFd| fs::read_link(format!("/proc/self/fd/{descriptor}")).is_ok();
    for descriptor in open.into_iter().filter(|descriptor| *descriptor > STDERR && is_open(descriptor)) {
        #[expect(
            unsafe_code,
            reason = "the standard library closes only descriptors that it owns, and nothing owns these"
        )]
        // SAFETY: nothing in this process has opened a descriptor yet, so nothing can use it after this.
        unsafe {
            rustix::io::close(descriptor);
        }
    }
    Ok(())
}

/// The last descriptor that a process is meant to inherit.
const STDERR: RawFd = 2;

/// The address space of this process, in bytes.
fn address_space() -> io::Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmSize:"));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kibibytes
        .map(|kibibytes| kibibytes * 1024)
        .ok_or_else(|| io::Error::other("/proc/self/status has no VmSize"))
}

/// Sets the processor time of the next job. The time of earlier jobs does not count.
pub(super) fn allow_cpu(job: Duration) -> io::Result<()> {
    let used = clock_gettime(ClockId::ProcessCPUTime).tv_sec.unsigned_abs();
    let limit = used.saturating_add(job.as_secs()).saturating_add(1 + CPU_MARGIN_S);
    setrlimit(Resource::Cpu, Rlimit { current: Some(limit), maximum: None })?;
    Ok(())
}
