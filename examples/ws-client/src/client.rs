//! What a client remembers, and what it does about each frame. No socket, no time.

use std::collections::VecDeque;
use std::time::Duration;

use serde_json::{Value, json};

/// A place among the frames of one life of one instance.
#[derive(Debug, Clone, PartialEq)]
struct Place {
    epoch: Value,
    seq: u64,
}

/// What outlives a connection.
#[derive(Debug, Default)]
pub(crate) struct Client {
    /// What is not acknowledged: id and text.
    unsaid: Vec<(String, String)>,
    /// The last frame we had.
    place: Option<Place>,
    /// Where the connection before this one ended, until we have what was missed.
    resuming: Option<Place>,
    /// Frames of the resume that are to come.
    missed: u64,
    /// The last deliveries, so that none is shown twice.
    seen: VecDeque<String>,
    was_ready: bool,
}

/// What to do once the server has closed.
#[derive(Debug, PartialEq)]
pub(crate) enum After {
    /// Connect again, after this long when it was said.
    Wait(Option<Duration>),
    /// It would be refused.
    Stop,
}

/// As many as the gateway keeps for a user.
const SEEN: usize = 100;
/// The gateway takes 20 in 10 s.
const AT_ONCE: usize = 10;
/// Errors after which the same text may be taken.
const AGAIN: [&str; 3] = ["bus_unavailable", "rate_limited", "draining"];

/// What a close code means for us.
pub(crate) fn after_close(code: u16, reason: &str) -> After {
    let asked: Value = serde_json::from_str(reason).unwrap_or_default();
    match code {
        4401 => After::Stop,
        _ => After::Wait(asked["retry_after"].as_f64().and_then(|s| Duration::try_from_secs_f64(s).ok())),
    }
}

// === impl Client ===

impl Client {
    /// Says a text, as soon as there is a connection. The id has to be a new UUID.
    pub(crate) fn say(&mut self, id: String, text: String) {
        self.unsaid.push((id, text));
    }

    /// Frames of what is not acknowledged, as many as may be sent at once.
    pub(crate) fn unsaid(&self) -> Vec<String> {
        let frame = |(id, text): &(String, String)| json!({ "type": "chat.message.send", "payload": { "text": text }, "metadata": { "id": id } });
        self.unsaid.iter().take(AT_ONCE).map(|said| frame(said).to_string()).collect()
    }

    /// Whether there was a `connection.ready` since this was last asked.
    pub(crate) fn take_was_ready(&mut self) -> bool {
        std::mem::take(&mut self.was_ready)
    }

    /// Takes a frame; gives lines to show and frames to send.
    pub(crate) fn hear(&mut self, frame: &str) -> (Vec<String>, Vec<String>) {
        let frame: Value = serde_json::from_str(frame).unwrap_or_default();
        let (payload, metadata) = (&frame["payload"], &frame["metadata"]);
        match frame["type"].as_str() {
            Some("connection.ready") => (self.ready(payload), self.first_frames()),
            Some("connection.resumed") => {
                self.missed = payload["messages"].as_u64().unwrap_or_default();
                self.is_whole();
                let lost = payload["recovered"] != true;
                (lost.then(|| "! some messages were missed".to_owned()).into_iter().collect(), vec![])
            }
            Some("chat.message.received") => (self.received(payload, metadata), vec![]),
            Some("chat.ack") => {
                self.unsaid.retain(|(id, _)| payload["id"] != *id.as_str());
                (vec![], vec![])
            }
            Some("chat.error") => {
                let code = payload["code"].as_str().unwrap_or_default();
                if !AGAIN.contains(&code) {
                    self.unsaid.retain(|(id, _)| payload["id"] != *id.as_str());
                }
                (vec![format!("! {code}: {}", payload["message"].as_str().unwrap_or_default())], vec![])
            }
            _ => (vec![], vec![]),
        }
    }

    fn ready(&mut self, payload: &Value) -> Vec<String> {
        self.was_ready = true;
        self.missed = 0;
        if self.resuming.is_none() {
            self.resuming = self.place.take();
        }
        let seq = payload["seq"].as_u64().unwrap_or_default();
        self.place = Some(Place { epoch: payload["epoch"].clone(), seq });
        vec![format!("* connected as {}", payload["user_id"].as_str().unwrap_or_default())]
    }

    fn first_frames(&self) -> Vec<String> {
        let resume = self.resuming.as_ref().map(|Place { epoch, seq }| {
            json!({ "type": "connection.resume", "payload": { "epoch": epoch, "seq": seq } }).to_string()
        });
        resume.into_iter().chain(self.unsaid()).collect()
    }

    fn received(&mut self, payload: &Value, metadata: &Value) -> Vec<String> {
        if self.missed > 0 {
            self.missed -= 1;
            self.is_whole();
        } else if let (Some(place), Some(seq)) = (&mut self.place, metadata["seq"].as_u64()) {
            place.seq = seq;
        }
        let id = metadata["id"].as_str().unwrap_or_default();
        if self.seen.iter().any(|seen| seen == id) {
            return vec![];
        }
        if self.seen.len() >= SEEN {
            self.seen.pop_front();
        }
        self.seen.push_back(id.to_owned());
        // Who wrote the text is not who reads it: nothing in it steers the terminal.
        let text = payload["text"].as_str().unwrap_or_default();
        vec![format!("> {}", text.escape_debug())]
    }

    fn is_whole(&mut self) {
        if self.missed == 0 {
            self.resuming = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(id: &str, seq: u64) -> String {
        json!({
            "type": "chat.message.received", "payload": { "text": id }, "metadata": { "id": id, "seq": seq }
        })
        .to_string()
    }

    fn ready(epoch: &str, seq: u64) -> String {
        let payload = json!({ "user_id": "ada", "epoch": epoch, "seq": seq });
        json!({ "type": "connection.ready", "payload": payload, "metadata": {} }).to_string()
    }

    fn resumed(recovered: bool, messages: u64) -> String {
        let payload = json!({ "recovered": recovered, "messages": messages });
        json!({ "type": "connection.resumed", "payload": payload }).to_string()
    }

    #[test]
    fn after_a_break_it_asks_for_what_came_since_and_shows_nothing_twice() {
        let mut client = Client::default();
        assert_eq!(client.hear(&ready("a", 4)).1, Vec::<String>::new());
        assert_eq!(client.hear(&received("m5", 5)).0, ["> m5"]);
        let asked = client.hear(&ready("b", 9)).1;
        assert_eq!(
            serde_json::from_str::<Value>(&asked[0]).unwrap(),
            json!({ "type": "connection.resume", "payload": { "epoch": "a", "seq": 5 } })
        );
        client.hear(&resumed(true, 2));
        assert_eq!(client.hear(&received("m6", 6)).0, ["> m6"]);
        // The second one did not come: it asks from the same place again.
        assert!(client.hear(&ready("b", 9)).1[0].contains("\"seq\":5"));
        client.hear(&resumed(true, 2));
        assert!(client.hear(&received("m6", 6)).0.is_empty());
        assert_eq!(client.hear(&received("m7", 7)).0, ["> m7"]);
        client.hear(&received("m10", 10));
        assert!(client.hear(&ready("c", 0)).1[0].contains("\"seq\":10"));
        assert_eq!(client.hear(&resumed(false, 0)).0, ["! some messages were missed"]);
    }

    #[test]
    fn what_is_said_is_said_again_until_it_is_acknowledged_or_refused() {
        let mut client = Client::default();
        let error =
            |code: &str| json!({ "type": "chat.error", "payload": { "code": code, "id": "1" } }).to_string();
        client.say("1".to_owned(), "hello".to_owned());
        client.say("2".to_owned(), "again".to_owned());
        assert_eq!(client.hear(&ready("a", 0)).1.len(), 2);
        client.hear(&error("bus_unavailable"));
        assert_eq!(client.unsaid().len(), 2);
        client.hear(&error("refused"));
        client.hear(&json!({ "type": "chat.ack", "payload": { "id": "2" } }).to_string());
        assert_eq!(client.unsaid(), Vec::<String>::new());
    }

    #[test]
    fn it_waits_as_long_as_it_is_told_and_a_token_that_ended_is_the_end() {
        let wait = Duration::from_millis(2500);
        assert_eq!(after_close(1012, "{\"retry_after\":2.5}"), After::Wait(Some(wait)));
        assert_eq!(after_close(4408, "slow_consumer"), After::Wait(None));
        assert_eq!(after_close(4401, "token revoked"), After::Stop);
    }
}
