//! One connection: moves bytes both ways at once, and decides nothing.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;

use chatbus_event::Clock;
use tokio::sync::{Mutex, mpsc};

use super::limits::{CLOSE_TIMEOUT, WRITE_TIMEOUT};
use super::lines::LineBuffer;
use super::outgoing::{Frame, Ticket};
use super::transport::{Reader, Writer};

/// Frames that wait to be written. A server that lets this many pile up takes nothing any more.
const MAX_FRAMES: usize = 1024;
/// Frames that go out in one write.
const WRITE_BATCH: usize = 64;

/// A connection that is up.
pub(super) struct Link {
    reader: Reader,
    frames: mpsc::Sender<Frame>,
    queue: Arc<Mutex<mpsc::Receiver<Frame>>>,
    reports: mpsc::Receiver<Report>,
    writing: Pin<Box<dyn Future<Output = io::Error> + Send>>,
}

/// What became of a frame with a ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Report {
    /// All of its bytes are with the kernel.
    Written(Ticket),
    /// Its time was over; nothing of it was written.
    Withheld(Ticket),
}

/// What a connection did.
pub(super) enum LinkEvent {
    /// There may be whole lines.
    Read,
    /// Frames were dealt with.
    Reported,
    /// It is over.
    Ended(String),
}

// === impl Link ===

impl Link {
    pub(super) fn new(reader: Reader, writer: Writer, clock: Arc<dyn Clock>) -> Self {
        let (frames, queue) = mpsc::channel(MAX_FRAMES);
        // Every frame gives at most one report, so this never holds the writer up for long.
        let (report, reports) = mpsc::channel(MAX_FRAMES);
        let queue = Arc::new(Mutex::new(queue));
        let writing = Box::pin(write_frames(writer, Arc::clone(&queue), report, clock));
        Self { reader, frames, queue, reports, writing }
    }

    /// Queues a frame. Gives it back when too many wait.
    pub(super) fn write(&self, frame: Frame) -> Result<(), Frame> {
        self.frames.try_send(frame).map_err(|error| match error {
            mpsc::error::TrySendError::Full(frame) | mpsc::error::TrySendError::Closed(frame) => frame,
        })
    }

    /// Waits for the next thing to happen; bytes are read only when `may_read`. Loses nothing when the
    /// future is dropped. `reports` gets what became of frames, all of which was before the event: that a
    /// frame is written is said before the answer to it.
    pub(super) async fn next(
        &mut self,
        lines: &mut LineBuffer,
        reports: &mut Vec<Report>,
        may_read: bool,
    ) -> LinkEvent {
        tokio::select! {
            biased;
            // First, so that what it wrote is reported without another turn.
            error = &mut self.writing => LinkEvent::Ended(error.to_string()),
            1.. = self.reports.recv_many(reports, MAX_FRAMES) => LinkEvent::Reported,
            read = self.reader.read(lines), if may_read => match read {
                // A server nearby answers between the write and this read.
                Ok(true) => {
                    while let Ok(report) = self.reports.try_recv() {
                        reports.push(report);
                    }
                    LinkEvent::Read
                }
                Ok(false) => LinkEvent::Ended("the server closed the connection".to_owned()),
                Err(error) => LinkEvent::Ended(error.to_string()),
            },
        }
    }

    /// Gives the connection up. What had not been begun is withheld; of what had been, nothing more is
    /// known.
    pub(super) fn abandon(mut self) -> Vec<Report> {
        // The writer holds the queue while it lives.
        drop(self.writing);
        let mut reports = Vec::new();
        while let Ok(report) = self.reports.try_recv() {
            reports.push(report);
        }
        if let Ok(mut queue) = self.queue.try_lock() {
            while let Ok(frame) = queue.try_recv() {
                reports.extend(frame.ticket.map(Report::Withheld));
            }
        }
        reports
    }

    /// Writes what is queued, and says goodbye.
    pub(super) async fn close(self) {
        let Self { frames, writing, mut reports, .. } = self;
        drop(frames);
        reports.close();
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, writing).await;
    }
}

/// Writes frames until that fails. Deadline and fence are looked at as the last thing before the write, so
/// that a process that was frozen in between says nothing late, and nothing that another says by now.
async fn write_frames(
    mut writer: Writer,
    queue: Arc<Mutex<mpsc::Receiver<Frame>>>,
    reports: mpsc::Sender<Report>,
    clock: Arc<dyn Clock>,
) -> io::Error {
    let mut batch = Vec::with_capacity(WRITE_BATCH);
    let mut bytes = Vec::new();
    let mut done = Vec::with_capacity(WRITE_BATCH);
    let mut queue = queue.lock().await;
    while queue.recv_many(&mut batch, WRITE_BATCH).await > 0 {
        bytes.clear();
        let now = clock.instant();
        for frame in batch.drain(..) {
            let is_late = frame.not_after.is_some_and(|not_after| now > not_after)
                || frame.fence.as_ref().is_some_and(|fence| !fence.is_held(now));
            if !is_late {
                bytes.extend_from_slice(&frame.bytes);
            }
            done.extend(frame.ticket.map(|t| if is_late { Report::Withheld(t) } else { Report::Written(t) }));
        }
        match tokio::time::timeout(WRITE_TIMEOUT, writer.write(&bytes)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return error,
            Err(_) => return io::Error::new(io::ErrorKind::TimedOut, "the server takes no bytes"),
        }
        for report in done.drain(..) {
            // Nobody listens while the connection is being closed.
            let _ = reports.send(report).await;
        }
    }
    writer.close().await;
    io::Error::new(io::ErrorKind::NotConnected, "closed by us")
}

#[cfg(test)]
mod tests {
    use super::*;
    use chatbus_runtime::SystemClock;
    use tokio::io::AsyncWriteExt as _;

    #[tokio::test]
    async fn that_a_frame_is_written_is_said_before_the_answer_to_it() {
        let (ours, mut theirs) = tokio::io::duplex(1024);
        // There before the frame is: as fast as any server can be.
        theirs.write_all(b":tmi.twitch.tv USERSTATE #a\r\n").await.unwrap();
        let (reader, writer) = tokio::io::split(Box::new(ours) as _);
        let mut link = Link::new(Reader::Bytes(reader), Writer::Bytes(writer), Arc::new(SystemClock));
        let ticket = Ticket(7);
        let frame = Frame {
            bytes: b"PRIVMSG #a :b\r\n".to_vec(),
            not_after: None,
            fence: None,
            ticket: Some(ticket),
        };
        assert!(link.write(frame).is_ok());
        let mut lines = LineBuffer::new();
        let mut reports = Vec::new();
        let mut event = link.next(&mut lines, &mut reports, true).await;
        if matches!(event, LinkEvent::Reported) {
            event = link.next(&mut lines, &mut reports, true).await;
        }
        assert!(matches!(event, LinkEvent::Read));
        assert_eq!(reports, [Report::Written(ticket)]);
        assert!(lines.next_line().is_some());
    }
}
