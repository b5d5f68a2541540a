//! The lock of a DATA_DIR: one process at a time.
//!
//! The lock is `flock` on the file `lock`, so the kernel frees it when the process ends, however it
//! ends, and nothing stale has to be told apart from something alive.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};

use crate::OpenError;

/// Held for as long as this value lives.
#[derive(Debug)]
pub struct DataLock {
    dir: PathBuf,
    _file: Flock<File>,
}

// === impl DataLock ===

impl DataLock {
    /// Takes the lock of this DATA_DIR, making the folder (mode of the process's umask) if needed.
    ///
    /// # Errors
    /// [`OpenError::Locked`] when another process, or another value in this one, holds it;
    /// [`OpenError::Io`] when folder or file cannot be made.
    pub fn acquire(dir: &Path) -> Result<Self, OpenError> {
        let io = |path: &Path| {
            let path = path.to_owned();
            move |source| OpenError::Io { path, source }
        };
        std::fs::create_dir_all(dir).map_err(io(dir))?;
        let path = dir.join("lock");
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(io(&path))?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(mut file) => {
                // Only a help for people: who holds the lock is told by the kernel, not by the text.
                let written = file
                    .set_len(0)
                    .and_then(|()| file.rewind())
                    .and_then(|()| writeln!(file, "{}", std::process::id()));
                if let Err(error) = written {
                    tracing::debug!(event = "bus.lock.pid_not_written", %error, "lock file has no pid");
                }
                Ok(Self { dir: dir.to_owned(), _file: file })
            }
            Err((mut file, nix::errno::Errno::EWOULDBLOCK)) => {
                let mut text = String::new();
                let read = (&mut file).take(32).read_to_string(&mut text);
                let pid = read.ok().and_then(|_| text.trim().parse().ok());
                Err(OpenError::Locked { dir: dir.to_owned(), pid })
            }
            Err((_, errno)) => Err(io(&path)(errno.into())),
        }
    }

    /// Whether somebody holds the lock of this DATA_DIR now. A folder without a lock file is free.
    ///
    /// # Errors
    /// When the lock file is there and cannot be opened.
    pub fn is_held(dir: &Path) -> Result<bool, OpenError> {
        let path = dir.join("lock");
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
            Err(source) => return Err(OpenError::Io { path, source }),
        };
        match Flock::lock(file, FlockArg::LockSharedNonblock) {
            Ok(_) => Ok(false),
            Err((_, nix::errno::Errno::EWOULDBLOCK)) => Ok(true),
            Err((_, errno)) => Err(OpenError::Io { path, source: errno.into() }),
        }
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}
