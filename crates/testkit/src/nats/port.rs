//! A port of loopback that stays ours while nothing listens on it.
//!
//! A server that is killed and started again needs its old port. Ports handed out by the kernel
//! are no good for that: while the server is down, any outgoing connection of any process may be
//! given its port. So ports come from below the range of outgoing connections, and a locked file
//! keeps other tests (other processes, under nextest) away from them.

use std::env;
use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::process;

/// Below 32768, where Linux begins to number outgoing connections.
const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;

/// A port that no other test of this machine takes while this value lives.
#[derive(Debug)]
pub struct ReservedPort {
    number: u16,
    /// Its lock is the reservation; the system releases it however the process ends.
    _lock: File,
}

// === impl ReservedPort ===

impl ReservedPort {
    /// Takes a free one. Panics when there is none, which takes thousands of servers.
    pub fn take() -> Self {
        let folder = env::temp_dir().join("chatbus-test-ports");
        fs::create_dir_all(&folder).expect("a folder for the port locks");
        // Processes begin at different places, so that they seldom ask for the same one.
        let start = process::id() as usize * 97;
        (0..usize::from(COUNT))
            .find_map(|step| {
                let offset = u16::try_from((start + step) % usize::from(COUNT)).unwrap_or_default();
                let number = FIRST + offset;
                let lock = File::create(folder.join(number.to_string())).ok()?;
                lock.try_lock().ok()?;
                TcpListener::bind((Ipv4Addr::LOCALHOST, number)).ok()?;
                Some(Self { number, _lock: lock })
            })
            .expect("a free port")
    }

    /// Its number.
    pub fn number(&self) -> u16 {
        self.number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_reservations_never_share_a_port_although_nobody_listens() {
        let (first, second) = (ReservedPort::take(), ReservedPort::take());
        assert_ne!(first.number(), second.number());
    }

    #[test]
    fn a_dropped_reservation_can_be_taken_again() {
        let first = ReservedPort::take();
        let number = first.number();
        let path = env::temp_dir().join("chatbus-test-ports").join(number.to_string());
        let other = File::open(path).expect("the lock file");
        assert!(other.try_lock().is_err(), "held while the reservation lives");
        drop(first);
        // Waits, because another test may have been given the port in between.
        other.lock().expect("free afterwards");
    }
}
