//! The processes that another process has started, and signals to them.

use std::fs::{self, File};

use rustix::process::{Pid, Signal, kill_process};

/// The process ids of the children of a process.
#[must_use]
pub fn children(parent: Pid) -> Vec<Pid> {
    let mut children = Vec::new();
    for task in
        fs::read_dir(format!("/proc/{}/task", parent.as_raw_nonzero())).into_iter().flatten().flatten()
    {
        let listed = fs::read_to_string(task.path().join("children")).unwrap_or_default();
        children.extend(listed.split_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)));
    }
    children
}

/// The process ids of the decoders of a worker.
#[must_use]
pub fn decoders(worker: Pid) -> Vec<Pid> {
    let is_decoder = |pid: &Pid| {
        let command = fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero())).unwrap_or_default();
        command.starts_with(b"up-decoder")
    };
    children(worker).into_iter().filter(is_decoder).collect()
}

/// The most bytes that wait in one of the pipes of a process: a picture, if it was handed to a stopped decoder.
#[must_use]
pub fn bytes_in_a_pipe(process: Pid) -> u64 {
    let fds = fs::read_dir(format!("/proc/{}/fd", process.as_raw_nonzero())).into_iter().flatten().flatten();
    let waiting = fds.filter_map(|fd| {
        let is_pipe = fs::read_link(fd.path()).ok()?.to_str()?.starts_with("pipe:");
        // The path of either end opens the same pipe.
        let pipe = is_pipe.then(|| File::open(fd.path()).ok()).flatten()?;
        rustix::io::ioctl_fionread(pipe).ok()
    });
    waiting.max().unwrap_or(0)
}

/// Sends a signal to each process that is still there.
pub fn signal_all(processes: &[Pid], signal: Signal) {
    for process in processes {
        let _ = kill_process(*process, signal);
    }
}

/// Whether a stop signal has taken effect.
#[must_use]
pub fn is_stopped(process: Pid) -> bool {
    let status = fs::read_to_string(format!("/proc/{}/stat", process.as_raw_nonzero())).unwrap_or_default();
    status.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('T'))
}
