//! What we send, written into the buffer for the socket. Pure.

/// `PUB subject [reply] size`, and the payload. The reply is written by whoever knows its parts.
pub(super) fn publish(out: &mut Vec<u8>, subject: &str, reply: &[&str], payload: &[u8]) {
    out.reserve(subject.len() + payload.len() + 128);
    out.extend_from_slice(b"PUB ");
    out.extend_from_slice(subject.as_bytes());
    out.push(b' ');
    if !reply.is_empty() {
        for part in reply {
            out.extend_from_slice(part.as_bytes());
        }
        out.push(b' ');
    }
    decimal(out, payload.len() as u64);
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(payload);
    out.extend_from_slice(b"\r\n");
}

/// `PUB subject reply size`, where the reply is our inbox, a kind and a number.
pub(super) fn request(out: &mut Vec<u8>, subject: &str, inbox: &str, id: u64, payload: &[u8]) {
    publish(out, subject, &[inbox, "r", itoa::Buffer::new().format(id)], payload);
}

/// `HPUB subject reply header-size size`, the header block and the body. The reply is our inbox, a kind
/// and a number.
pub(super) fn publish_with_headers(
    out: &mut Vec<u8>,
    subject: [&str; 2],
    reply: [&str; 2],
    place: u64,
    block: &[u8],
    body: &[u8],
) {
    let total = block.len() + body.len();
    out.reserve(total + 256);
    out.extend_from_slice(b"HPUB ");
    out.extend_from_slice(subject[0].as_bytes());
    out.extend_from_slice(subject[1].as_bytes());
    out.push(b' ');
    out.extend_from_slice(reply[0].as_bytes());
    out.extend_from_slice(reply[1].as_bytes());
    decimal(out, place);
    out.push(b' ');
    decimal(out, block.len() as u64);
    out.push(b' ');
    decimal(out, total as u64);
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(block);
    out.extend_from_slice(body);
    out.extend_from_slice(b"\r\n");
}

fn decimal(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_line_is_what_a_formatter_writes(
            place in any::<u64>().prop_flat_map(|n| (0..64_u32).prop_map(move |by| n >> by)),
            block in proptest::collection::vec(any::<u8>(), 0..300),
            body in proptest::collection::vec(any::<u8>(), 0..300),
        ) {
            let mut out = b"before".to_vec();
            publish_with_headers(&mut out, ["p.", "internal.x"], ["_INBOX.a.", "p"], place, &block, &body);
            let total = block.len() + body.len();
            let line = format!("beforeHPUB p.internal.x _INBOX.a.p{place} {} {total}\r\n", block.len());
            prop_assert_eq!(out, [line.as_bytes(), &block, &body, b"\r\n"].concat());

            let mut out = Vec::new();
            request(&mut out, "$JS.ACK.a", "_INBOX.a.", place, &body);
            publish(&mut out, "a", &["b"], &body);
            publish(&mut out, "a", &[], &body);
            let lines = [
                format!("PUB $JS.ACK.a _INBOX.a.r{place} {}\r\n", body.len()),
                format!("PUB a b {}\r\n", body.len()),
                format!("PUB a {}\r\n", body.len()),
            ];
            let [a, b, c] = lines.each_ref().map(|line| [line.as_bytes(), &body, b"\r\n"].concat());
            prop_assert_eq!(out, [a, b, c].concat());
        }
    }
}
