//! Frames of other libraries' tests.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use chatbus_event::{Event, InstanceId, Shape, Timestamp, Topic};
use chatbus_platform_discord::normalize::{Frame, Normalizer, NormalizerConfig};
use chatbus_testkit::SeededEntropy;

#[test]
fn public_test_frames_are_read() {
    #[expect(clippy::disallowed_methods, reason = "a test may be told where its data lies")]
    let root = std::env::var_os("CHATBUS_CORPUS").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus"),
        PathBuf::from,
    );
    let Ok(files) = std::fs::read_dir(root.join("discord/permissive")) else {
        println!("the corpus is absent: {} is not there", root.display());
        return;
    };
    let egress = Topic::egress_of(&InstanceId::parse("i-1").unwrap());
    let config = NormalizerConfig { egress, shape: Shape::Flat };
    let mut normalizer = Normalizer::new(config, "1", &["10".into()], Arc::new(SeededEntropy::new(1)));
    let (mut frames, mut events) = (0, 0);
    for file in files {
        let text = Bytes::from(std::fs::read(file.unwrap().path()).unwrap());
        let Some(frame) = Frame::parse(&text) else { continue };
        frames += 1;
        let Some(name) = frame.name else { continue };
        if let Some(event) = normalizer.dispatch(&name, frame.seq.unwrap_or(0), &frame.data, Timestamp::EPOCH)
        {
            Event::decode(&event.body).unwrap();
            events += 1;
        }
    }
    println!("{frames} frames, {events} events");
    assert!(frames >= 3);
}
