//! `chatbus schema`.

use std::io::Write as _;

use chatbus_event::schema::envelope_schema;
use chatbus_event::{Family, Topic, names};
use serde_json::{Value, json};

use super::Outcome;
use crate::cli::SchemaKind;

pub(crate) fn run(what: SchemaKind) -> Outcome {
    let document = match what {
        SchemaKind::Envelope => envelope_schema(),
        SchemaKind::Asyncapi => asyncapi(),
    };
    writeln!(std::io::stdout().lock(), "{document:#}")?;
    Ok(())
}

/// Every topic, what passes through it and with which attributes.
fn asyncapi() -> Value {
    let channels: serde_json::Map<String, Value> = Family::ALL
        .into_iter()
        .filter_map(channel_of)
        .map(|(key, address, description, message)| {
            let parameters = address
                .contains("{instanceId}")
                .then(|| json!({"instanceId": {"description": "The instance: 1 to 64 of A-Z a-z 0-9 _ -"}}));
            let mut channel = json!({
                "address": address,
                "description": description,
                "messages": { message: { "$ref": format!("#/components/messages/{message}") } },
            });
            if let Some(parameters) = parameters {
                channel["parameters"] = parameters;
            }
            (key.to_owned(), channel)
        })
        .collect();
    let attribute = json!({"type": "string"});
    let attributes: serde_json::Map<String, Value> = [
        names::CORRELATION_ID,
        names::TYPE,
        names::SOURCE,
        names::TRACEPARENT,
        names::MESSAGE_ID,
        names::CHANNEL,
        names::DELIVERY_ID,
        names::DEADLINE,
        names::CE_ID,
        names::CE_TYPE,
        names::CE_SOURCE,
        names::CE_SPECVERSION,
        names::CE_TIME,
    ]
    .into_iter()
    .map(|name| (name.to_owned(), attribute.clone()))
    .collect();
    let headers = json!({"type": "object", "properties": attributes});
    let mut envelope = envelope_schema();
    // In one document the definitions stand with the other components.
    let definitions = envelope.as_object_mut().and_then(|schema| schema.remove("$defs")).unwrap_or_default();
    let text = envelope.to_string().replace("#/$defs/", "#/components/schemas/");
    let envelope: Value = serde_json::from_str(&text).unwrap_or_default();
    let text = definitions.to_string().replace("#/$defs/", "#/components/schemas/");
    let mut schemas: Value = serde_json::from_str(&text).unwrap_or_default();
    schemas["Envelope"] = envelope;
    schemas["Finalize"] = finalize_schema();
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "chatbus",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "What passes over the bus. BUS_PREFIX stands before every address on the server, and nowhere else.",
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "components": {
            "messages": {
                "event": {"headers": headers, "payload": {"$ref": "#/components/schemas/Envelope"}},
                "outcome": {"headers": headers, "payload": {"$ref": "#/components/schemas/Finalize"}},
                "deadLetter": {"headers": headers, "payload": {"$ref": "#/components/schemas/Envelope"}},
            },
            "schemas": schemas,
        },
    })
}

/// Key, address, description and message of a family's topics; `None` for what is not for others.
fn channel_of(family: Family) -> Option<(&'static str, String, &'static str, &'static str)> {
    let fixed = |topic: Topic| topic.as_str().to_owned();
    Some(match family {
        Family::Ingress => ("ingress", fixed(Topic::ingress()), "What platforms and clients said.", "event"),
        Family::Enriched => ("enriched", fixed(Topic::enriched()), "The same, with who said it.", "event"),
        Family::LlmBot => {
            ("llmbot", fixed(Topic::llmbot()), "What the language model is to answer.", "event")
        }
        Family::Egress => {
            ("egress", fixed(Topic::egress()), "What whichever instance can is to say.", "event")
        }
        Family::InstanceEgress => (
            "instanceEgress",
            "internal.egress.v1.{instanceId}".to_owned(),
            "What that instance is to say.",
            "event",
        ),
        Family::ApiEgress => (
            "apiEgress",
            "internal.api.egress.v1.{instanceId}".to_owned(),
            "What that gateway instance is to say.",
            "event",
        ),
        Family::Finalizer => ("finalizer", fixed(Topic::finalizer()), "How deliveries ended.", "outcome"),
        Family::DeadLetter => {
            ("deadLetter", fixed(Topic::dead_letter()), "What was given up, whole, with why.", "deadLetter")
        }
        Family::RouterDlq => (
            "routerDlq",
            fixed(Topic::router_dlq()),
            "What asked for an answer and matched no rule.",
            "event",
        ),
        Family::Lane | Family::Other => return None,
    })
}

fn finalize_schema() -> Value {
    let text = json!({"type": "string"});
    json!({
        "type": "object",
        "required": ["correlationId", "deliveryId", "destination", "deliveredAt", "status", "attempts"],
        "properties": {
            "correlationId": text,
            "deliveryId": text,
            "destination": text,
            "deliveredAt": {"type": "string", "format": "date-time"},
            "status": {"enum": ["SENT", "ACCEPTED", "FAILED", "NONE"]},
            "providerMessageId": text,
            "error": {"type": "object", "properties": {"code": text, "message": text}},
            "attempts": {"type": "array", "items": {
                "type": "object",
                "properties": {"at": {"type": "string", "format": "date-time"}, "instance": text, "outcome": text},
            }},
            "candidates": {"type": "array"},
            "annotations": {"type": "array"},
        },
    })
}
