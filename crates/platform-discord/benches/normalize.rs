//! From a frame of the gateway to an event's bytes, on one core, beside reading the same JSON into a tree.
//!
//! Run with `cargo bench -p chatbus-platform-discord`.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "it measures and prints, or fails"
)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use chatbus_event::{InstanceId, Shape, Timestamp, Topic};
use chatbus_platform_discord::normalize::{Frame, Normalizer, NormalizerConfig};
use chatbus_runtime::SystemEntropy;
use serde_json::{Value, json};

const FOR: Duration = Duration::from_secs(3);

fn main() {
    let frames: Vec<Bytes> = (0..64).map(frame).collect();
    let bytes: usize = frames.iter().map(Bytes::len).sum();
    println!("frames of {} bytes on average", bytes / frames.len());
    rate("JSON to a tree", &frames, |text| {
        black_box(serde_json::from_slice::<Value>(text).unwrap());
    });
    rate("parse", &frames, |text| {
        black_box(Frame::parse(text).unwrap());
    });
    for shape in [Shape::Flat, Shape::Nested, Shape::V1] {
        let mut normalizer = normalizer(shape);
        rate(&format!("frame to event, {shape:?}"), &frames, |text| {
            let frame = Frame::parse(text).unwrap();
            let name = frame.name.as_deref().unwrap();
            black_box(normalizer.dispatch(name, frame.seq.unwrap(), &frame.data, Timestamp::EPOCH).unwrap());
        });
    }
}

fn rate(name: &str, frames: &[Bytes], mut each: impl FnMut(&Bytes)) {
    let begun = Instant::now();
    let mut count = 0_u32;
    while begun.elapsed() < FOR {
        for text in frames {
            each(text);
            count += 1;
        }
    }
    println!("{name:>28} {:>10.0} a second", f64::from(count) / begun.elapsed().as_secs_f64());
}

fn normalizer(shape: Shape) -> Normalizer {
    let egress = Topic::egress_of(&InstanceId::parse("i-1").unwrap());
    let config = NormalizerConfig { egress, shape };
    let mut normalizer = Normalizer::new(config, "1", &["10".into()], Arc::new(SystemEntropy::new()));
    normalizer.set_own_user("9".to_owned());
    let guild = json!({ "id": "1", "owner_id": "2", "roles": [{ "id": "5", "name": "Wizards", "permissions": "0" }] });
    let guild = Bytes::from(json!({ "t": "GUILD_CREATE", "s": 1, "op": 0, "d": guild }).to_string());
    let frame = Frame::parse(&guild).unwrap();
    normalizer.dispatch("GUILD_CREATE", 1, &frame.data, Timestamp::EPOCH);
    normalizer
}

/// A message as Discord dispatches it, of ordinary length.
fn frame(number: u64) -> Bytes {
    let data = json!({
        "type": 0, "tts": false, "timestamp": "2025-11-21T17:02:00.123000+00:00", "pinned": false, "nonce": "1441",
        "mentions": [], "mention_roles": [], "mention_everyone": false, "id": (1_441_000_000_000_000_000_u64 + number).to_string(),
        "flags": 0, "embeds": [], "edited_timestamp": null, "content": "does anybody know when the next stream is? 🎉",
        "components": [], "channel_id": "10", "channel_type": 0, "attachments": [], "guild_id": "1",
        "member": {
            "roles": ["5"], "premium_since": null, "pending": false, "nick": "Lady A", "mute": false, "flags": 0,
            "joined_at": "2020-05-01T12:00:00.000000+00:00", "deaf": false, "communication_disabled_until": null,
            "banner": null, "avatar": null,
        },
        "author": {
            "username": "ada", "public_flags": 0, "primary_guild": null, "id": (80_351_110_224_678_912 + number % 16).to_string(),
            "global_name": "Ada", "discriminator": "0", "collectibles": null, "clan": null,
            "avatar_decoration_data": null, "avatar": "8342729096ea3675442027381ff50dfe",
        },
    });
    Bytes::from(format!(r#"{{"t":"MESSAGE_CREATE","s":{number},"op":0,"d":{data}}}"#))
}
