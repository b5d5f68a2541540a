use std::task::Waker;
use std::time::Duration;

use chatbus_runtime::SystemClock;
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpSocket};

use super::*;

/// A connection, and the client's end of it, whose kernel has little room.
async fn pair() -> (Link, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpSocket::new_v4().unwrap();
    client.set_recv_buffer_size(16 * 1024).unwrap();
    let client = client.connect(listener.local_addr().unwrap()).await.unwrap();
    let (tcp, _) = listener.accept().await.unwrap();
    (Link::new(Uuid::nil(), Key::parse("token").unwrap(), tcp, Vec::new()), client)
}

fn offer(link: &Link, bytes: usize) -> Offered {
    link.offer(vec![b'x'; bytes].into(), &Fence::always(), &SystemClock)
}

/// Offers until the kernel takes no more; gives the fate of what it has a part of.
fn fill(link: &Link) -> oneshot::Receiver<Fate> {
    for _ in 0..1000 {
        if let Offered::Later(fate) = offer(link, 256 * 1024) {
            return fate;
        }
    }
    panic!("the kernel takes everything");
}

/// The payloads of the server's frames, as they stand in the bytes that came, without the fragments of a
/// last one that is cut.
fn frames(mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut frames = Vec::new();
    while let [first, len, rest @ ..] = bytes {
        let (len, rest) = match *len {
            126 => (usize::from(u16::from_be_bytes([rest[0], rest[1]])), &rest[2..]),
            127 => (usize::try_from(u64::from_be_bytes(rest[..8].try_into().unwrap())).unwrap(), &rest[8..]),
            short => (usize::from(short), rest),
        };
        frames.push((first & 15, rest[..len].to_vec()));
        bytes = &rest[len..];
    }
    frames
}

#[tokio::test]
async fn a_stall_lasts_from_the_first_refusal_until_the_kernel_takes_some() {
    let (link, mut client) = pair().await;
    let begin = SystemClock.instant();
    let later = |seconds| begin + Duration::from_secs(seconds);
    assert_eq!(link.lock().stalled_since(), None);
    let fate = fill(&link);
    assert!(link.lock().stalled_since().is_some());
    // Whatever else is offered meanwhile.
    let since = link.lock().stalled_since();
    drop((offer(&link, 10), link.lock().pump(later(100))));
    assert_eq!(link.lock().stalled_since(), since);
    let mut seen = 0;
    let mut buffer = vec![0; 64 * 1024];
    while link.lock().stalled_since() == since {
        seen += client.read(&mut buffer).await.unwrap();
        let _ = link.lock().pump(later(200));
    }
    assert!(seen > 0);
    assert!([None, Some(later(200))].contains(&link.lock().stalled_since()), "it begins anew, or is over");
    let reading = async { while client.read(&mut buffer).await.unwrap() > 0 {} };
    let writing = async {
        while std::future::poll_fn(|cx| link.lock().poll_writable(cx)).await.is_ok() {
            if link.lock().pump(later(300)) == Written::All {
                return;
            }
        }
    };
    tokio::select! {
        () = reading => {}
        () = writing => {}
    }
    assert_eq!(fate.await, Ok(Fate::Delivered));
    assert_eq!(link.lock().stalled_since(), None);
}

#[tokio::test]
async fn a_close_frame_comes_after_all_that_was_begun_and_what_waited_is_unsent() {
    let (link, mut client) = pair().await;
    let mut begun = fill(&link);
    let Offered::Later(waits) = offer(&link, 10) else { panic!("it waits") };
    let slow = Some((Closing::SlowConsumer, "slow_consumer"));
    link.lock().begin_close(slow, SystemClock.instant());
    assert_eq!(waits.await, Ok(Fate::Unsent));
    let mut discarded = 0;
    let mut cx = Context::from_waker(Waker::noop());
    assert!(link.lock().poll_close(&mut cx, &mut discarded).is_pending());
    assert!(begun.try_recv().is_err(), "the rest of it may still go out");
    let mut bytes = Vec::new();
    let closing = std::future::poll_fn(|cx| link.lock().poll_close(cx, &mut discarded));
    let reading = async {
        client.read_to_end(&mut bytes).await.unwrap();
        drop(client);
    };
    tokio::join!(closing, reading);
    assert_eq!(begun.await, Ok(Fate::Delivered));
    let frames = frames(&bytes);
    let (last, before) = frames.split_last().unwrap();
    assert!(before.iter().all(|(kind, payload)| *kind == 1 && payload.len() == 256 * 1024));
    assert_eq!((last.0, &last.1[..2]), (8, &4408_u16.to_be_bytes()[..]));
}

/// Blocks as often as told, and is writable again by the time it is asked.
#[derive(Default)]
struct Scripted {
    blocks: usize,
    flushes: usize,
}

#[test]
fn a_socket_that_is_writable_again_when_it_is_asked_is_written_to_and_not_shut() {
    let blocked = || WsError::Io(io::ErrorKind::WouldBlock.into());
    for (blocks, writable, written, flushes) in [
        (0, Poll::Pending, Poll::Ready(true), 1),
        (1, Poll::Ready(true), Poll::Ready(true), 2),
        (3, Poll::Ready(true), Poll::Ready(true), 4),
        (1, Poll::Pending, Poll::Pending, 1),
        (1, Poll::Ready(false), Poll::Ready(false), 1),
    ] {
        let mut wire = Scripted { blocks, flushes: 0 };
        let flush = |wire: &mut Scripted| {
            wire.flushes += 1;
            if wire.flushes > wire.blocks { Ok(()) } else { Err(blocked()) }
        };
        let polled = poll_written(&mut wire, flush, |_| {
            writable.map(|is_so| if is_so { Ok(()) } else { Err(io::ErrorKind::BrokenPipe.into()) })
        });
        assert_eq!((polled.map(|result| result.is_ok()), wire.flushes), (written, flushes), "{blocks}");
    }
}
