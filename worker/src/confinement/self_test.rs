//! Tries to break out: for tests, which must see each attempt fail behind its wall, and succeed without.
//!
//! `confinement-self-test BYTES [limits] [landlock] [filter]` raises the walls that are named and prints a line for each
//! attempt. It ends with success only if every one was refused.

use std::{
    env, fs, io,
    net::{TcpStream, UdpSocket},
    os::unix::process::CommandExt,
    process::{Command, ExitCode},
    thread,
};

use rustix::process::{Pid, getppid, test_kill_process};

use super::walls::Walls;

/// An attempt, by its name.
type Attempt = (&'static str, fn(Option<Pid>) -> io::Result<()>);

/// What is tried. A refusal must be one by a wall: that nobody listens, or that a file is missing, is none.
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

pub(super) fn run(mut arguments: impl Iterator<Item = String>) -> ExitCode {
    let Some(memory) = arguments.next().and_then(|bytes| bytes.parse().ok()) else {
        eprintln!("this argument is for a test to use");
        return ExitCode::from(crate::config::EXIT_USAGE);
    };
    let named: Vec<String> = arguments.collect();
    let is_named = |wall: &str| named.iter().any(|name| name == wall);
    let walls =
        Walls { limits: is_named("limits"), landlock: is_named("landlock"), filter: is_named("filter") };
    // Asked now: later even that is refused.
    let parent = getppid();
    println!("walls: {:?}", walls.raise(memory));
    let mut all_refused = true;
    let mut tell = |name: &str, tried: io::Result<()>| {
        all_refused &= tried.is_err();
        match tried {
            Ok(()) => println!("{name}: done"),
            Err(error) => println!("{name}: refused, {error}"),
        }
    };
    for (name, attempt) in ATTEMPTS {
        tell(name, attempt(parent));
    }
    tell("take twice the memory", take(memory.saturating_mul(2)));
    // The last, because it does not come back.
    println!("become another program: tried");
    let error = Command::new("/bin/false").exec();
    println!("become another program: refused, {error}");
    if all_refused { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A connection that is refused by the other side has got out.
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
