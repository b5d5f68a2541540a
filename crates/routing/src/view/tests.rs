use bytes::Bytes;
use chatbus_event::{Event, Timestamp};
use datalogic_rs::bumpalo::Bump;
use serde_json::{Value, json};

use super::*;

fn seen(text: &str) -> Value {
    let event = Event::decode(&Bytes::copy_from_slice(text.as_bytes())).unwrap();
    let arena = Bump::new();
    serde_json::from_str(&of_event(&event, Timestamp::EPOCH, &arena).to_json_string()).unwrap()
}

#[test]
fn rules_see_the_events_members_and_the_time_and_nothing_else_unlike_the_predecessors() {
    let mut value = seen(r#"{"type":"t","source":"s","payload":{"a":1},"x":[true,null,1.5]}"#);
    assert_eq!(value["now"].take(), "1970-01-01T00:00:00.000Z");
    assert_eq!(value["ts"].take(), 0);
    let expected =
        json!({"type":"t","source":"s","payload":{"a":1},"x":[true,null,1.5],"now":null,"ts":null});
    assert_eq!(value, expected);
}

#[test]
fn what_the_platform_said_stands_in_for_the_payload() {
    let value = seen(r#"{"type":"t","payload":{"a":1},"message":{"rawPlatformPayload":{"b":2}}}"#);
    assert_eq!(value["payload"], json!({ "b": 2 }));
    assert_eq!(seen(r#"{"type":"t","message":{"rawPlatformPayload":null}}"#)["payload"], json!({}));
}

#[test]
fn the_older_shapes_are_seen_as_flat() {
    let nested = seen(
        r#"{"envelope":{"source":"ingress.x","user":{"id":"1"},"type":"no"},"type":"t","channel":"c","source":"beside"}"#,
    );
    assert_eq!((&nested["source"], &nested["user"]["id"]), (&json!("ingress.x"), &json!("1")));
    assert_eq!(nested["channel"], "c");
    assert_eq!(nested["envelope"], Value::Null);
    let v1 = seen(
        r#"{"source":{"platform":"p","channel":"c"},"user":{"id":"7"},"type":"t","payload":{"text":"hi"}}"#,
    );
    assert_eq!((&v1["source"], &v1["channel"], &v1["userId"]), (&json!("p"), &json!("c"), &json!("7")));
    assert_eq!(v1["payload"]["text"], "hi");
}

#[test]
fn of_a_repeated_name_the_last_one_counts_as_elsewhere() {
    let value =
        seen(r#"{"type":"a","type":"b","user":{"status":"ok","status":"banned"},"x":[{"y":1,"y":2}]}"#);
    assert_eq!(
        (&value["type"], &value["user"], &value["x"]),
        (&json!("b"), &json!({ "status": "banned" }), &json!([{ "y": 2 }]))
    );
    let many: String = (0..50).map(|n| format!(r#""k{n}":{n},"#)).collect();
    assert_eq!(seen(&format!(r#"{{"type":"t","o":{{{many}"k0":"last"}}}}"#))["o"]["k0"], "last");
}

#[test]
fn long_lists_and_texts_are_seen_in_part() {
    let text =
        json!({ "type": "t", "l": vec![json!({ "a": "x".repeat(3) }); 2_000], "t": "ü".repeat(20_000) });
    let value = seen(&text.to_string());
    assert_eq!(value["l"].as_array().unwrap().len(), MAX_ITEMS);
    assert_eq!(value["t"].as_str().unwrap().len(), MAX_TEXT_BYTES);
}

#[test]
fn escapes_that_are_no_characters_do_not_hide_an_event_from_the_rules() {
    let value = seen(r#"{"type":"t","a":"x\ud800y","user":{"status":"banned","n":[1,-2.5,true,null]}}"#);
    assert_eq!(value["user"], json!({ "status": "banned", "n": [1, -2.5, true, null] }));
    assert!(value["a"].as_str().unwrap().starts_with('x'));
}
