//! An attacker: the process of the drill that has the sandbox of a decoder and tries to get out of it.
//!
//! It takes one job, attacks in place of decoding, and reports the outcome as the error of that job.

mod calls;
mod lies;

use std::{
    fs::{self, File},
    hint, io,
    io::{Read, Write},
    net::{TcpStream, UdpSocket},
    os::{
        linux::net::SocketAddrExt,
        unix::{
            net::{SocketAddr, UnixStream},
            process::CommandExt,
        },
    },
    process::{Command, ExitCode},
    thread,
};

use rustix::process::{
    Pid, Resource, Rlimit, Signal, kill_process, set_parent_process_death_signal, setrlimit,
};

use super::{
    ATTACKER_COMMAND,
    attack::{Attack, AttackOrder, Targets},
    child, layers,
    protocol::{self, DecodeReply, DecodeRequest},
};
use crate::thumbnail::ThumbnailError;

/// Open files that an attacker sets as its limit: more than the sandbox allows.
const RAISED_FILES: u64 = 64;

/// Bytes that show an operator what was read.
const SHOWN_BYTES: usize = 24;

/// Runs an attacker. It may allocate `memory` bytes.
pub(super) fn run(memory: u64, order: &AttackOrder) -> ExitCode {
    match take_job(memory, order) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("the attacker stops: {error}");
            ExitCode::FAILURE
        }
    }
}

fn take_job(memory: u64, order: &AttackOrder) -> io::Result<()> {
    let AttackOrder { layers, attack, targets } = order;
    if *attack == Attack::Executed {
        return report(&mut io::stdout(), &Ok("it became another program".to_owned()));
    }
    // No layer may be enforced that does it, and some attacks never end.
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let (mut input, mut output) = child::enter(*layers, memory, || ())?;
    let Some(request) = protocol::read::<DecodeRequest>(&mut input)? else { return Ok(()) };
    layers::allow_cpu(request.timeout)?;
    io::copy(&mut (&mut input).take(request.original_bytes), &mut io::sink())?;
    match attack {
        Attack::Compute => {
            // The sandbox permits this: the limit is set again for every job.
            setrlimit(Resource::Cpu, Rlimit { current: None, maximum: None })?;
            loop {
                hint::black_box(());
            }
        }
        // The worker keeps the pipe open.
        Attack::Wait => {}
        _ => match lies::answer(*attack) {
            Some(answer) => output.write_all(&answer?)?,
            // It ends at once: a process that it traces is released.
            None => return report(&mut output, &attempt(order, targets, memory)),
        },
    }
    input.read_to_end(&mut Vec::new()).map(drop)
}

/// Reports whether an attempt got through, as the error of a job.
fn report(output: &mut impl Write, tried: &io::Result<String>) -> io::Result<()> {
    let text = match tried {
        Ok(done) => format!("{ESCAPED}{done}"),
        Err(error) if is_refusal(error) => format!("{REFUSED}{error}"),
        Err(error) => format!("{UNCLEAR}{error}"),
    };
    protocol::write(output, &DecodeReply::Failed(ThumbnailError::CannotBeDecoded(text)), &[])
}

/// How a report begins: the attempt got through; a layer refused it; it failed for another reason, which says nothing
/// about the sandbox.
pub(crate) const ESCAPED: &str = "escaped: ";
pub(crate) const REFUSED: &str = "refused: ";
const UNCLEAR: &str = "unclear: ";

/// The errors of the sandbox layers. A peer that refuses a connection was reached.
fn is_refusal(error: &io::Error) -> bool {
    let refusals = [libc::EPERM, libc::EACCES, libc::EMFILE, libc::ENOMEM, libc::ENOSYS];
    error.raw_os_error().is_some_and(|number| refusals.contains(&number))
        || error.kind() == io::ErrorKind::OutOfMemory
}

/// Makes an attempt. Returns what it got.
fn attempt(order: &AttackOrder, targets: &Targets, memory: u64) -> io::Result<String> {
    let worker = Pid::from_raw(targets.worker).ok_or(io::ErrorKind::InvalidInput)?;
    let proc = |name: &str| format!("/proc/{}/{name}", targets.worker);
    match order.attack {
        Attack::ReadFile => Ok(format!("it read {}", shown(&fs::read(&targets.file)?))),
        Attack::ListDirectory => Ok(format!("it listed {} files", fs::read_dir(&targets.directory)?.count())),
        Attack::CreateFile => {
            File::create(targets.directory.join("created"))?;
            Ok("it created a file".into())
        }
        Attack::ConnectTcp => TcpStream::connect(targets.tcp).map(|_| "it connected".into()),
        Attack::ConnectUnix => UnixStream::connect(&targets.unix).map(|_| "it connected".into()),
        Attack::ConnectAbstract => {
            let address = SocketAddr::from_abstract_name(&targets.abstract_name)?;
            UnixStream::connect_addr(&address).map(|_| "it connected".into())
        }
        Attack::SendDatagram => {
            let sent = UdpSocket::bind("127.0.0.1:0")?.send_to(b"out", targets.udp)?;
            Ok(format!("it sent {sent} bytes"))
        }
        Attack::SignalWorker => {
            // Ignored by processes that do not handle it, as the drill.
            kill_process(worker, Signal::URG)?;
            Ok("it sent a signal".into())
        }
        Attack::Fork => calls::fork().map(|()| "it forked".into()),
        Attack::StartThread => {
            thread::Builder::new().spawn(|| {})?.join().map_err(|_| io::Error::other("a panic"))?;
            Ok("it started a thread".into())
        }
        Attack::Execute => {
            let next = AttackOrder { attack: Attack::Executed, ..order.clone() };
            let mut program = Command::new("/proc/self/exe");
            Err(program.args([ATTACKER_COMMAND, &memory.to_string(), &next.to_string()]).exec())
        }
        Attack::TraceWorker => calls::trace(worker).map(|()| "it traces the worker".into()),
        Attack::ReadMemoryFile => {
            use std::os::unix::fs::FileExt;
            let mut read = vec![0; targets.secret_bytes];
            File::open(proc("mem"))?.read_exact_at(&mut read, targets.secret_address as u64)?;
            Ok(format!("it read {}", shown(&read)))
        }
        Attack::ReadMemory => {
            let read = calls::read_memory(worker, targets.secret_address, targets.secret_bytes)?;
            Ok(format!("it read {}", shown(&read)))
        }
        Attack::ReadEnvironment => Ok(format!("it read {} bytes", fs::read(proc("environ"))?.len())),
        Attack::MemoryFileWithCode => {
            calls::map_code_file().map(|()| "it mapped an executable memory file".into())
        }
        Attack::MapCode => calls::map_code().map(|()| "it mapped executable memory".into()),
        Attack::ProtectCode => calls::protect_code().map(|()| "it made memory executable".into()),
        Attack::RaiseLimits => {
            let raised = Some(RAISED_FILES);
            setrlimit(Resource::Nofile, Rlimit { current: raised, maximum: raised })?;
            Ok(format!("it may open {RAISED_FILES} files"))
        }
        Attack::TakeMemory => {
            let bytes = usize::try_from(memory.saturating_mul(2)).map_err(io::Error::other)?;
            Vec::<u8>::new().try_reserve_exact(bytes).map_err(|_| io::ErrorKind::OutOfMemory)?;
            Ok(format!("it took {bytes} bytes"))
        }
        Attack::Compute
        | Attack::Wait
        | Attack::ClaimOtherSides
        | Attack::AnswerWrongDimensions
        | Attack::AnswerPage
        | Attack::AnnounceGigabyte
        | Attack::WriteTooMuch
        | Attack::Executed => Err(io::Error::other("no attempt")),
    }
}

/// The begin of what was read.
fn shown(read: &[u8]) -> String {
    String::from_utf8_lossy(&read[..read.len().min(SHOWN_BYTES)]).into_owned()
}
