//! The envelope as types, for machines that want its JSON Schema. Every object may hold further
//! members: unknown ones survive every hop.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// An event on the bus, in its flat shape. One of `type` and `source` must be there.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Envelope {
    /// Version of the envelope: `1`.
    pub v: String,
    /// The event's own id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Ties together all that becomes of an event.
    pub correlation_id: String,
    /// The trace: 32 hex digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
    /// When chatbus received it: RFC 3339, UTC, milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<String>,
    /// What it is, such as `chat.message.v1`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Who published it first, such as `ingress.twitch`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Where it was said, as the platform calls it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// Who said it: the platform's raw id, or `platform:id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// Where an answer goes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub egress: Option<Egress>,
    /// The same destination alone; `egress.destination` wins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub egress_destination: Option<String>,
    /// The services it passes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routing_slip: Vec<RoutingStep>,
    /// Where its outcome goes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finalization_destination: Option<String>,
    /// A known topic that gets a copy of the outcome.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<String>,
    /// RFC 3339: after it nothing is sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_at: Option<String>,
    /// What was said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<Message>,
    /// What happened, where nothing was said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_event: Option<ExternalEvent>,
    /// Data of other events.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload: Option<Value>,
    /// What services noted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub annotations: Vec<AnnotationModel>,
    /// What could be answered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub candidates: Vec<CandidateModel>,
    /// What went wrong on the way.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<ErrorEntry>,
    /// The user that was found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<Map<String, Value>>,
    /// How the user was found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth: Option<Auth>,
    /// Quality of service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub qos: Option<Qos>,
    /// Notes on the event itself: `self`, `late`, `deadlineMs`, `connectionId`, `replay`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Map<String, Value>>,
}

/// Where an answer goes.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Egress {
    /// An egress topic or a platform's name.
    pub destination: String,
    /// How it is said; `chat` when absent.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<EgressType>,
}

/// How an answer is said.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum EgressType {
    /// In public, or to one's own connections on the gateway.
    Chat,
    /// To one user only.
    Dm,
    /// As data, to gateway connections only.
    Event,
}

/// What was said.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Message {
    /// The platform's id of it.
    pub id: String,
    /// Who speaks.
    pub role: Role,
    /// What was said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The platform's own data, with some members under common names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub raw_platform_payload: Option<Map<String, Value>>,
}

/// Who speaks.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Someone on a platform.
    User,
    /// A bot.
    Assistant,
    /// The system itself.
    System,
    /// A tool's result.
    Tool,
}

/// What happened on a platform.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExternalEvent {
    /// The platform's id of it, or one made for it.
    pub id: String,
    /// Which interface of the platform told it.
    pub source: String,
    /// What happened.
    pub kind: String,
    /// Version of the payload.
    pub version: String,
    /// RFC 3339.
    pub created_at: String,
    /// The parts that are understood.
    pub payload: Map<String, Value>,
    /// All of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub raw_payload: Option<Value>,
}

/// What a service noted.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Annotation")]
pub struct AnnotationModel {
    /// Its id.
    pub id: String,
    /// What kind of note, such as `intent` or `personality`.
    pub kind: String,
    /// Who noted it.
    pub source: String,
    /// RFC 3339.
    pub created_at: String,
    /// How sure, from 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confidence: Option<f64>,
    /// A name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// A value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
    /// A rank: the highest first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub score: Option<f64>,
    /// Anything else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload: Option<Value>,
}

/// Something that could be answered.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Candidate")]
pub struct CandidateModel {
    /// Its id.
    pub id: String,
    /// `text`, `rich` or `action`.
    pub kind: String,
    /// Who offers it.
    pub source: String,
    /// RFC 3339; the earliest is best.
    pub created_at: String,
    /// `proposed`, `selected`, `superseded` or `rejected`.
    pub status: String,
    /// The lowest is best.
    pub priority: f64,
    /// The highest is best.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confidence: Option<f64>,
    /// What would be said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// `plain`, `markdown` or `html`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Anything else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Map<String, Value>>,
}

/// A service the event passes.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RoutingStep {
    /// Its name.
    pub id: String,
    /// Version of the step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub v: Option<String>,
    /// How it stands.
    pub status: StepStatus,
    /// How often it was tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u64>,
    /// How often it may be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_attempts: Option<u64>,
    /// Its topic.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_topic: Option<String>,
    /// Attributes for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attributes: Option<Map<String, Value>>,
    /// RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<String>,
    /// RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<String>,
    /// What went wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<StepError>,
    /// Anything else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notes: Option<Value>,
}

/// How a step stands.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum StepStatus {
    /// To be done.
    Pending,
    /// Done.
    Ok,
    /// Failed.
    Error,
    /// Left out.
    Skip,
}

/// What went wrong in a step.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct StepError {
    /// A stable code.
    pub code: String,
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Whether trying again can help.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retryable: Option<bool>,
}

/// What went wrong on the way.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ErrorEntry {
    /// Where.
    pub source: String,
    /// For people.
    pub message: String,
    /// Whether that was the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fatal: Option<bool>,
    /// RFC 3339.
    pub at: String,
}

/// How the user was found.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Auth {
    /// Version: `1`.
    pub v: String,
    /// How.
    pub method: String,
    /// Whether there is such a user.
    pub matched: bool,
    /// RFC 3339.
    pub at: String,
    /// The platform, or the gateway.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// Names the user's record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_ref: Option<String>,
}

/// Quality of service.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Qos {
    /// How long records are kept, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl: Option<f64>,
}

/// The JSON Schema (2020-12) of the envelope.
pub fn envelope_schema() -> Value {
    let schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<Envelope>();
    schema.to_value()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fixture_is_what_the_types_say() {
        let text = include_str!("../../../fixtures/envelope/flat.json");
        let envelope: Envelope = serde_json::from_str(text).unwrap();
        let back = serde_json::to_value(&envelope).unwrap();
        let expected: Value = serde_json::from_str(text).unwrap();
        // Lists that are empty may be left out; all else is the same.
        for (key, value) in expected.as_object().unwrap() {
            let empty = value.as_array().is_some_and(Vec::is_empty);
            assert!(empty || back.get(key) == Some(value), "{key}");
        }
    }

    #[test]
    fn the_schema_names_every_member_of_the_fixture_and_forbids_no_other() {
        let schema = envelope_schema();
        let fixture: Value =
            serde_json::from_str(include_str!("../../../fixtures/envelope/flat.json")).unwrap();
        for key in fixture.as_object().unwrap().keys() {
            assert!(schema["properties"].get(key).is_some(), "{key} is not in the schema");
        }
        assert!(!schema.to_string().contains("\"additionalProperties\":false"));
        assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    }
}
