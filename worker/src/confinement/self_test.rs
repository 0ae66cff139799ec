//! Attempts to escape from the sandbox. Tests check that each attempt fails with its layer and succeeds without.
//!
//! `confinement-self-test BYTES [limits] [landlock] [filter]` enforces the named layers and prints a line for each
//! attempt. It exits with success only if every attempt was refused.

use std::{
    env, fs, io,
    net::{TcpStream, UdpSocket},
    os::unix::process::CommandExt,
    process::{Command, ExitCode},
    thread,
};

use rustix::process::{Pid, getppid, test_kill_process};

use super::layers::SandboxLayers;

/// The name of an attempt, and the attempt.
type Attempt = (&'static str, fn(Option<Pid>) -> io::Result<()>);

/// The attempts. Only an error of a sandbox layer counts as a refusal: a missing listener or file does not.
const ATTEMPTS: [Attempt; 8] = [
    ("read a file", |_| fs::read("/proc/self/status").map(drop)),
    ("list a directory", |_| fs::read_dir("/").map(drop)),
    ("write a file", |_| fs::write(env::temp_dir().join("up-self-test"), "out").map(drop)),
    ("connect", |_| through(TcpStream::connect("127.0.0.1:9").map(drop))),
    ("send a datagram", |_| UdpSocket::bind("127.0.0.1:0").map(drop)),
    ("signal the parent", |parent| parent.map_or(Ok(()), |parent| Ok(test_kill_process(parent)?))),
    ("start a thread", |_| thread::Builder::new().spawn(|| {}).map(drop)),
    ("start a process", |_| Command::new("/bin/true").spawn().map(drop)),
];

pub(super) fn run(memory: u64, named: &[String]) -> ExitCode {
    let is_named = |layer: &str| named.iter().any(|name| name == layer);
    let layers = SandboxLayers {
        limits: is_named("limits"),
        landlock: is_named("landlock"),
        filter: is_named("filter"),
    };
    // The filter refuses this call later.
    let parent = getppid();
    println!("sandbox: {:?}", layers.enforce(memory));
    let mut all_refused = true;
    let mut report = |name: &str, tried: io::Result<()>| {
        all_refused &= tried.is_err();
        match tried {
            Ok(()) => println!("{name}: done"),
            Err(error) => println!("{name}: refused, {error}"),
        }
    };
    for (name, attempt) in ATTEMPTS {
        report(name, attempt(parent));
    }
    report("take twice the memory", take(memory.saturating_mul(2)));
    // The last attempt, because on success it does not return.
    println!("become another program: tried");
    let error = Command::new("/bin/false").exec();
    println!("become another program: refused, {error}");
    if all_refused { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A connection that the other side refuses has left the sandbox.
fn through(tried: io::Result<()>) -> io::Result<()> {
    match tried {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
        tried => tried,
    }
}

fn take(bytes: u64) -> io::Result<()> {
    let bytes = usize::try_from(bytes).map_err(io::Error::other)?;
    Vec::<u8>::new().try_reserve_exact(bytes).map_err(io::Error::other)
}
