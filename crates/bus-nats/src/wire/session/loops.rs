//! The two tasks of a session: one moves bytes to the server, one from it.

use std::pin::pin;
use std::sync::Arc;

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::MissedTickBehavior;

use super::{Answers, Session, TICK, lock};
use crate::wire::frames::{self, Next};

/// Inputs: bytes put into the buffer; the end of the session.
pub(super) async fn write(session: Arc<Session>, mut writer: Box<dyn AsyncWrite + Send + Unpin>) {
    let mut batch = Vec::new();
    // Waited for through all turns, since to begin waiting costs.
    let mut ended = pin!(session.ended.cancelled());
    loop {
        batch.clear();
        {
            let mut out = lock(&session.out);
            std::mem::swap(&mut batch, &mut out.buffer);
        }
        if batch.is_empty() {
            tokio::select! {
                biased;
                () = session.wake.notified() => {}
                () = &mut ended => break,
            }
            // What else is about to be published goes into the same call: a system call costs as much
            // as making a few messages.
            tokio::task::yield_now().await;
            continue;
        }
        let written = tokio::select! {
            biased;
            written = async { writer.write_all(&batch).await?; writer.flush().await } => written,
            () = &mut ended => break,
        };
        if let Err(error) = written {
            session.close(&format!("writing to NATS failed: {error}"));
            break;
        }
        session.written.send_modify(|written| *written += batch.len() as u64);
        // A burst must not hold its memory for ever.
        if batch.capacity() > 1024 * 1024 {
            batch = Vec::new();
        }
    }
    let _ = writer.shutdown().await;
}

/// Reads in a row before the clock is looked at: a server that never pauses must not stop the clock of all
/// who wait.
const READS: u32 = 64;

/// Inputs: bytes from the server; the clock; the end of the session.
pub(super) async fn read(
    session: Arc<Session>,
    mut reader: Box<dyn AsyncRead + Send + Unpin>,
    mut buffer: BytesMut,
) {
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut silent = 0_u64;
    let mut answers = Answers::new();
    let mut ended = pin!(session.ended.cancelled());
    let mut reads = 0;
    loop {
        let mut read = 0;
        let end = loop {
            match frames::next(&buffer[read..]) {
                Ok(Next::Whole(frame, len)) => {
                    session.on_frame(frame, &mut answers);
                    read += len;
                }
                Ok(Next::Part(missing)) => break Ok(missing),
                Err(error) => break Err(error),
            }
        };
        session.answer(&mut answers);
        buffer.advance(read);
        match end {
            Ok(missing) => buffer.reserve(missing),
            Err(error) => return session.close(&error.to_string()),
        }
        if buffer.capacity() - buffer.len() < 4 * 1024 {
            buffer.reserve(64 * 1024);
        }
        reads += 1;
        tokio::select! {
            biased;
            read = reader.read_buf(&mut buffer), if reads < READS => match read {
                Ok(0) => return session.close("the NATS server closed the connection"),
                Ok(_) => silent = 0,
                Err(error) => return session.close(&format!("reading from NATS failed: {error}")),
            },
            () = &mut ended => return,
            _ = tick.tick() => {
                reads = 0;
                silent += 1;
                if let Err(why) = session.on_tick(silent) {
                    return session.close(why);
                }
            }
            () = std::future::ready(()), if reads >= READS => reads = 0,
        }
    }
}
