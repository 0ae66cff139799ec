//! Network file systems: SQLite shares memory between the processes of one host, and relies on locks. On such a file
//! system a queue would lose jobs.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::failpoint;

/// Types of file systems, as the kernel names them. The part behind `fuse.` is the name of the program.
const NETWORK: [&str; 25] = [
    "9p2000",
    "afs",
    "beegfs",
    "ceph",
    "cifs",
    "coda",
    "glusterfs",
    "gpfs",
    "lustre",
    "nfs",
    "nfs4",
    "pvfs2",
    "smb2",
    "smb3",
    "smbfs",
    "fuse.blobfuse2",
    "fuse.ceph",
    "fuse.curlftpfs",
    "fuse.davfs",
    "fuse.gcsfuse",
    "fuse.glusterfs",
    "fuse.juicefs",
    "fuse.rclone",
    "fuse.s3fs",
    "fuse.sshfs",
];

/// The type of the file system of a directory, if it is a network file system.
///
/// # Errors
/// When the directory, or the list of mounts, cannot be read.
pub(super) fn kind_at(directory: &Path) -> io::Result<Option<String>> {
    if failpoint::is_dropped("local-file-system", "") {
        return Ok(Some("nfs4".to_owned()));
    }
    let directory = fs::canonicalize(directory)?;
    Ok(kind_in(&fs::read_to_string("/proc/self/mountinfo")?, &directory))
}

/// The same by a list of mounts, see proc_pid_mountinfo(5).
fn kind_in(mounts: &str, directory: &Path) -> Option<String> {
    let mounts = mounts.lines().filter_map(|line| {
        let (mount, file_system) = line.split_once(" - ")?;
        let point = unescape(mount.split(' ').nth(4)?);
        Some((point, file_system.split(' ').next()?))
    });
    // Of mounts on one point, the last is seen.
    let under = mounts.filter(|(point, _)| directory.starts_with(point));
    let (_, kind) = under.max_by_key(|(point, _)| point.components().count())?;
    NETWORK.contains(&kind).then(|| kind.to_owned())
}

/// Spaces and the like are written as three octal digits.
fn unescape(text: &str) -> PathBuf {
    let escapes = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")];
    escapes.iter().fold(text.to_owned(), |text, (escape, letter)| text.replace(escape, letter)).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
22 1 0:20 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
23 22 0:21 / /srv rw - nfs4 server:/export rw,vers=4.2
24 23 0:22 / /srv/local rw master:3 - xfs /dev/sdb rw
25 22 0:23 / /mnt/my\\040share rw - cifs //host/share rw
26 22 0:24 / /home/up rw - fuse.sshfs up@host: rw
27 22 0:25 / /over rw - nfs host:/ rw
28 27 0:26 / /over rw - tmpfs tmpfs rw
";

    #[test]
    fn a_network_file_system_is_known_by_the_nearest_mount() {
        for (path, expected) in [
            ("/var/lib/up", None),
            ("/srv", Some("nfs4")),
            ("/srv/up", Some("nfs4")),
            ("/srv/local/up", None),
            ("/srvice", None),
            ("/mnt/my share/up", Some("cifs")),
            ("/home/up/data", Some("fuse.sshfs")),
            ("/over/data", None),
        ] {
            assert_eq!(kind_in(MOUNTS, Path::new(path)).as_deref(), expected, "{path}");
        }
    }

    #[test]
    fn a_temporary_directory_is_local() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(kind_at(directory.path()).unwrap(), None);
    }
}
