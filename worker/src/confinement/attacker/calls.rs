//! System calls that no safe interface offers.

#![expect(unsafe_code, reason = "an attacker makes calls that safe code has no use for")]

use std::{
    ffi::c_int,
    io::{self, Write},
    os::fd::AsRawFd,
    ptr,
};

use rustix::{fs::MemfdFlags, process::Pid};

/// The size of every mapping here, in bytes: at most one page on any machine.
const MAPPED_BYTES: usize = 4096;

/// Starts a child, which ends at once.
pub(super) fn fork() -> io::Result<()> {
    // SAFETY: the child calls nothing but `_exit`, and an attacker has one thread.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // SAFETY: it ends the child and runs nothing of this process.
        unsafe { libc::_exit(0) }
    }
    succeeded(child)?;
    // SAFETY: a null pointer says that the status is not wanted.
    succeeded(unsafe { libc::waitpid(child, ptr::null_mut(), 0) })
}

/// Becomes the tracer of a process, without stopping it, until this process ends.
pub(super) fn trace(process: Pid) -> io::Result<()> {
    let none = ptr::null_mut::<libc::c_void>();
    // SAFETY: the call reads no memory of this process.
    let traced = unsafe { libc::ptrace(libc::PTRACE_SEIZE, process.as_raw_nonzero().get(), none, none) };
    if traced == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Reads the memory of another process.
pub(super) fn read_memory(process: Pid, address: usize, bytes: usize) -> io::Result<Vec<u8>> {
    let mut read = vec![0_u8; bytes];
    let local = libc::iovec { iov_base: read.as_mut_ptr().cast(), iov_len: bytes };
    let remote = libc::iovec { iov_base: ptr::with_exposed_provenance_mut(address), iov_len: bytes };
    // SAFETY: `local` is a buffer of that length; the kernel checks `remote` in the other process.
    let done = unsafe {
        libc::process_vm_readv(process.as_raw_nonzero().get(), &raw const local, 1, &raw const remote, 1, 0)
    };
    if done == -1 { Err(io::Error::last_os_error()) } else { Ok(read) }
}

/// Maps a file of code that exists in memory only.
pub(super) fn map_code_file() -> io::Result<()> {
    let file = rustix::fs::memfd_create("code", MemfdFlags::CLOEXEC)?;
    let mut file = std::fs::File::from(file);
    file.write_all(&[0; MAPPED_BYTES])?;
    map(libc::PROT_READ | libc::PROT_EXEC, libc::MAP_PRIVATE, file.as_raw_fd()).map(drop)
}

/// Maps memory that is writable and executable.
pub(super) fn map_code() -> io::Result<()> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    map(libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC, flags, -1).map(drop)
}

/// Makes writable memory executable.
pub(super) fn protect_code() -> io::Result<()> {
    let memory = map(libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1)?;
    // SAFETY: the mapping is new, and nothing refers to it.
    succeeded(unsafe { libc::mprotect(memory, MAPPED_BYTES, libc::PROT_READ | libc::PROT_EXEC) })
}

/// A new mapping, which stays until this process ends.
fn map(protection: c_int, flags: c_int, file: c_int) -> io::Result<*mut libc::c_void> {
    // SAFETY: without an address the kernel chooses one where nothing is mapped.
    let memory = unsafe { libc::mmap(ptr::null_mut(), MAPPED_BYTES, protection, flags, file, 0) };
    if memory == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(memory) }
}

fn succeeded(returned: c_int) -> io::Result<()> {
    if returned == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
