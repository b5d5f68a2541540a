//! From a WebSocket frame of EventSub to an event's bytes, on one core, beside what cannot be beaten: looking
//! at the same bytes once.
//!
//! Run with `cargo bench -p chatbus-platform-twitch --bench eventsub`. Reads the frames of the corpus where
//! there is one, and one of a usual chat message of its own in any case.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "it prints its measurements, or fails")]

use std::hint::black_box;
use std::path::PathBuf;
use std::sync::Arc;

use chatbus_event::{InstanceId, Shape, Timestamp, Topic};
use chatbus_platform_twitch::eventsub::frames::Frame;
use chatbus_platform_twitch::eventsub::normalize::Normalizer;
use chatbus_platform_twitch::normalize::NormalizerConfig;
use chatbus_runtime::SystemEntropy;

const FOR_SECONDS: f64 = 3.0;

const CHAT: &str = r##"{"metadata":{"message_id":"7d9daa03-06f0-43ef-94d8-b22e8662bb99","message_type":"notification","message_timestamp":"2024-05-14T12:31:47.995298776Z","subscription_type":"channel.chat.message","subscription_version":"1"},"payload":{"subscription":{"id":"0b7f3361-672b-4d39-b307-dd5b576c9b27","status":"enabled","type":"channel.chat.message","version":"1","condition":{"broadcaster_user_id":"1337","user_id":"2914196"},"transport":{"method":"websocket","session_id":"AgoQHR3s6Mb4T8GFB1l3DlPfiRIGY2VsbC1h"},"created_at":"2023-11-06T18:11:47.492253549Z","cost":0},"event":{"broadcaster_user_id":"1337","broadcaster_user_login":"cool_user","broadcaster_user_name":"Cool_User","chatter_user_id":"4145994","chatter_user_login":"viewer32","chatter_user_name":"Viewer32","message_id":"cc106a89-1814-919d-454c-f4f2f970aae7","message":{"text":"Hi chat Kappa how is everybody today","fragments":[{"type":"text","text":"Hi chat ","cheermote":null,"emote":null,"mention":null},{"type":"emote","text":"Kappa","cheermote":null,"emote":{"id":"25","emote_set_id":"0","owner_id":"0","format":["static"]},"mention":null},{"type":"text","text":" how is everybody today","cheermote":null,"emote":null,"mention":null}]},"color":"#00FF7F","badges":[{"set_id":"moderator","id":"1","info":""},{"set_id":"subscriber","id":"12","info":"16"},{"set_id":"sub-gifter","id":"1","info":""}],"message_type":"text","cheer":null,"reply":null,"channel_points_custom_reward_id":null,"source_broadcaster_user_id":null,"source_broadcaster_user_login":null,"source_broadcaster_user_name":null,"source_message_id":null,"source_badges":null}}}"##;

fn main() {
    let chat = vec![CHAT.to_owned()];
    let others = corpus();
    println!("a chat frame has {} bytes; {} frames of the corpus", CHAT.len(), others.len());
    rate("copy and look at each byte", &chat, |frame| {
        let copy = black_box(frame.as_bytes().to_vec());
        black_box(memchr::memchr(0, &copy));
    });
    rate("parse the frame", &chat, |frame| drop(black_box(Frame::parse(frame))));
    for shape in [Shape::Flat, Shape::Nested, Shape::V1] {
        let mut normalizer = normalizer(shape);
        rate(&format!("chat frame to event, {shape:?}"), &chat, |frame| event(&mut normalizer, frame));
    }
    if !others.is_empty() {
        let mut normalizer = normalizer(Shape::Flat);
        rate("frames of the corpus to events", &others, |frame| event(&mut normalizer, frame));
    }
}

fn event(normalizer: &mut Normalizer, frame: &str) {
    if let Ok(Frame::Notification(told)) = Frame::parse(frame) {
        black_box(normalizer.notification(&told, Timestamp::EPOCH));
    }
}

fn normalizer(shape: Shape) -> Normalizer {
    let config = NormalizerConfig {
        egress: Topic::egress_of(&InstanceId::parse("bench-1").unwrap()),
        shape,
        own_login: Some("bot".to_owned()),
    };
    Normalizer::new(config, Arc::new(SystemEntropy::new()))
}

/// Frames a second of processor time.
fn rate(name: &str, frames: &[String], mut work: impl FnMut(&str)) {
    let start = processor_seconds();
    let mut done = 0_u32;
    while processor_seconds() - start < FOR_SECONDS {
        // Asking for the time costs as much as a frame.
        for _ in 0..100 {
            for frame in frames {
                work(frame);
                done += 1;
            }
        }
    }
    let seconds = processor_seconds() - start;
    println!("{name:>38} {:>12.0} frames/s", f64::from(done) / seconds);
}

/// What this thread has had of a processor, as Linux counts it.
fn processor_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    let nanoseconds: f64 = stat.split(' ').next().unwrap().parse().unwrap();
    nanoseconds / 1e9
}

/// The notifications among the frames of the corpus.
fn corpus() -> Vec<String> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus/eventsub");
    let Ok(files) = std::fs::read_dir(folder) else { return Vec::new() };
    let texts = files.filter_map(|file| std::fs::read_to_string(file.ok()?.path()).ok());
    texts.filter(|text| matches!(Frame::parse(text), Ok(Frame::Notification(_)))).collect()
}
