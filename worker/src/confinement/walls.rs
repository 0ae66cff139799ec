//! What a confined process takes from itself, before it reads a stranger's byte and for good.

use std::{fs, io, os::fd::RawFd, time::Duration};

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetStatus, Scope,
};
use rustix::{
    process::{Resource, Rlimit, Signal, set_parent_process_death_signal, setrlimit},
    time::{ClockId, clock_gettime},
};
use serde::{Deserialize, Serialize};

use super::{Mode, filter};

/// Processor time that a job may take on top of its time by the clock, in seconds: the clock should be first to say.
const CPU_MARGIN_S: u64 = 1;

/// The walls that are to be raised.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Walls {
    pub(super) limits: bool,
    pub(super) landlock: bool,
    pub(super) filter: bool,
}

impl From<Mode> for Walls {
    fn from(mode: Mode) -> Self {
        let raised = mode != Mode::Off;
        Self { limits: raised, landlock: raised, filter: raised }
    }
}

/// How a wall stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Stands {
    /// As meant.
    Whole,
    /// As far as this kernel goes.
    Partly,
    /// Nothing of it, and why.
    No(String),
}

/// How the walls stand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Standing {
    pub(super) limits: Stands,
    pub(super) landlock: Stands,
    pub(super) filter: Stands,
}

impl Standing {
    pub(super) fn is_whole(&self) -> bool {
        [&self.limits, &self.landlock, &self.filter].into_iter().all(|wall| *wall == Stands::Whole)
    }
}

impl Walls {
    /// Raises the walls. The process may take `memory` bytes on top of what it has now.
    pub(super) fn raise(self, memory: u64) -> Standing {
        let raised = |wanted: bool, wall: &dyn Fn() -> Result<Stands, String>| {
            if wanted { wall().unwrap_or_else(Stands::No) } else { Stands::No("not wanted".into()) }
        };
        // Each wall stands in the way of the next: memory is read from a file, Landlock needs a descriptor, and the
        // filter refuses what both ask for.
        let base = address_space();
        let landlock = raised(self.landlock, &landlock);
        let limits = raised(self.limits, &|| {
            let base = base.as_ref().map_err(ToString::to_string)?;
            limits(base.saturating_add(memory)).map_err(|error| error.to_string())
        });
        let filter = raised(self.filter, &|| filter::raise().map_err(|error| error.to_string()));
        Standing { limits, landlock, filter }
    }
}

/// No path, no TCP, no abstract socket, no signal to others.
fn landlock() -> Result<Stands, String> {
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
    Ok(match status.ruleset {
        RulesetStatus::FullyEnforced => Stands::Whole,
        RulesetStatus::PartiallyEnforced => Stands::Partly,
        RulesetStatus::NotEnforced => return Err("the kernel has none".into()),
    })
}

fn limits(address_space: u64) -> io::Result<Stands> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // Descriptors that are open stay open.
    for (resource, limit) in
        [(Resource::Core, 0), (Resource::Fsize, 0), (Resource::Nofile, 0), (Resource::As, address_space)]
    {
        setrlimit(resource, Rlimit { current: Some(limit), maximum: Some(limit) })?;
    }
    Ok(Stands::Whole)
}

/// Closes what came from whoever started the worker, and was not meant for anybody: a decoder could write to it.
/// Must be called before this process opens anything.
pub(super) fn close_strays() -> io::Result<()> {
    let names = fs::read_dir("/proc/self/fd")?.flatten().map(|entry| entry.file_name());
    let open: Vec<RawFd> = names.filter_map(|name| name.to_str()?.parse().ok()).collect();
    // Not the one that listed them, which is closed by now.
    let is_open = |descriptor: &RawFd| fs::read_link(format!("/proc/self/fd/{descriptor}")).is_ok();
    for descriptor in open.into_iter().filter(|descriptor| *descriptor > STDERR && is_open(descriptor)) {
        #[expect(
            unsafe_code,
            reason = "the standard library closes only what it owns, and nobody owns these"
        )]
        // SAFETY: nothing in this process has opened a descriptor yet, so nothing can use it after this.
        unsafe {
            rustix::io::close(descriptor);
        }
    }
    Ok(())
}

/// The last descriptor that is meant for this process when it starts.
const STDERR: RawFd = 2;

/// Bytes of address space that the process has.
fn address_space() -> io::Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmSize:"));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kibibytes
        .map(|kibibytes| kibibytes * 1024)
        .ok_or_else(|| io::Error::other("/proc/self/status has no VmSize"))
}

/// Gives the next job so much processor time, whatever the ones before took.
pub(super) fn allow_cpu(job: Duration) -> io::Result<()> {
    let used = clock_gettime(ClockId::ProcessCPUTime).tv_sec.unsigned_abs();
    let limit = used.saturating_add(job.as_secs()).saturating_add(1 + CPU_MARGIN_S);
    setrlimit(Resource::Cpu, Rlimit { current: Some(limit), maximum: None })?;
    Ok(())
}
