//! The targets of the drill: files, sockets and memory that it makes, and removes at its end.

use std::{
    env, fs, io,
    net::{TcpListener, UdpSocket},
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixListener},
    },
    process,
};

use anyhow::Context;

use crate::confinement::Targets;

/// A text in a file and in memory.
const SECRET: &str = "a secret of the drill";

/// Targets that are open.
pub(super) struct OpenTargets {
    pub(super) named: Targets,
    _secret: String,
    _tcp: TcpListener,
    _udp: UdpSocket,
    _unix: UnixListener,
    _abstract: UnixListener,
}

impl OpenTargets {
    /// Makes the targets, below the directory for temporary files.
    pub(super) fn open() -> anyhow::Result<Self> {
        let name = format!("up-drill-{}", rand::random::<u64>());
        let directory = env::temp_dir().join(&name);
        let opened = fs::create_dir(&directory).and_then(|()| {
            let secret = SECRET.to_owned();
            let (file, unix) = (directory.join("secret"), directory.join("socket"));
            fs::write(&file, SECRET)?;
            let tcp = TcpListener::bind("127.0.0.1:0")?;
            let udp = UdpSocket::bind("127.0.0.1:0")?;
            let named = Targets {
                directory: directory.clone(),
                file,
                tcp: tcp.local_addr()?,
                udp: udp.local_addr()?,
                unix: unix.clone(),
                abstract_name: name.clone(),
                worker: i32::try_from(process::id()).map_err(io::Error::other)?,
                secret_address: secret.as_ptr().expose_provenance(),
                secret_bytes: secret.len(),
            };
            Ok(Self {
                named,
                _secret: secret,
                _tcp: tcp,
                _udp: udp,
                _unix: UnixListener::bind(unix)?,
                _abstract: UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name)?)?,
            })
        });
        opened.with_context(|| {
            let _ = fs::remove_dir_all(&directory);
            format!(
                "could not make the targets of the drill in {}; TMPDIR names another directory",
                directory.display()
            )
        })
    }
}

impl Drop for OpenTargets {
    fn drop(&mut self) {
        // The system removes what is left of temporary files.
        let _ = fs::remove_dir_all(&self.named.directory);
    }
}
