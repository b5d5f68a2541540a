//! Logs: one JSON object a line, or pretty on a terminal. No secrets, and no message text above DEBUG:
//! what may be logged is decided where it is logged; here it is only laid out.

use std::io::{IsTerminal as _, Write as _};
use std::sync::{Arc, OnceLock};

use chatbus_event::Clock;
use chatbus_event::json::{Object, Raw};
use chatbus_runtime::settings::Values;
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer};

use crate::terminal;

/// Where logs go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    /// For `serve`, whose output is its log.
    Stdout,
    /// For commands that print something else.
    Stderr,
}

/// Set once the instance is known; part of every later line.
static INSTANCE: OnceLock<String> = OnceLock::new();

/// Begins logging. `level` overrules LOG_LEVEL.
pub(crate) fn start(values: &Values, clock: Arc<dyn Clock>, stream: Stream, level: Option<&str>) {
    let terminal = match stream {
        Stream::Stdout => std::io::stdout().is_terminal(),
        Stream::Stderr => std::io::stderr().is_terminal(),
    };
    let pretty = match values.text("LOG_FORMAT") {
        Some("pretty") => true,
        Some("json") => false,
        _ => terminal,
    };
    let level = level.or(values.text("LOG_LEVEL")).unwrap_or("info");
    // What lies below us speaks at its own levels; its warnings are enough.
    let filter =
        EnvFilter::new(format!("{level},async_nats=warn,hyper=warn,tungstenite=warn,rustls=warn,h2=warn"));
    let layer = Lines { clock, pretty, color: pretty && terminal, stream };
    // A second start, as in tests that run commands in one process, keeps the first.
    let _ = tracing_subscriber::registry().with(layer.with_filter(filter)).try_init();
}

/// Names the instance in every later line.
pub(crate) fn set_instance(id: &str) {
    let _ = INSTANCE.set(id.to_owned());
}

struct Lines {
    clock: Arc<dyn Clock>,
    pretty: bool,
    color: bool,
    stream: Stream,
}

#[derive(Default)]
struct Fields {
    message: String,
    rest: Map<String, Value>,
}

// === impl Lines ===

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let metadata = event.metadata();
        let line = if self.pretty {
            self.pretty_line(*metadata.level(), fields)
        } else {
            self.json_line(*metadata.level(), metadata.target(), fields)
        };
        // There is nobody to tell when logging itself fails.
        let _ = match self.stream {
            Stream::Stdout => std::io::stdout().lock().write_all(line.as_bytes()),
            Stream::Stderr => std::io::stderr().lock().write_all(line.as_bytes()),
        };
    }
}

impl Lines {
    fn json_line(&self, level: Level, target: &str, mut fields: Fields) -> String {
        let component = component(target);
        let event = fields.rest.remove("event").unwrap_or_else(|| format!("{component}.log").into());
        let mut line: Object = [
            ("timestamp", Raw::of(&self.clock.now())),
            ("severity", Raw::of(severity(level))),
            ("message", Raw::of(&fields.message)),
            ("event", Raw::of(&event)),
            ("service", Raw::of("chatbus")),
            ("component", Raw::of(&component)),
        ]
        .into_iter()
        .collect();
        if let Some(id) = INSTANCE.get() {
            line.set("instanceId", Raw::of(id));
        }
        for (name, value) in &fields.rest {
            line.set(name, Raw::of(value));
        }
        let mut text = String::from_utf8_lossy(&line.encode()).into_owned();
        text.push('\n');
        text
    }

    fn pretty_line(&self, level: Level, mut fields: Fields) -> String {
        let time = self.clock.now().to_string();
        let paint = |code: &str, text: &str| {
            if self.color { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
        };
        let level = match level {
            Level::ERROR => paint("31;1", "ERROR"),
            Level::WARN => paint("33;1", " WARN"),
            Level::INFO => paint("32", " INFO"),
            _ => paint("2", "DEBUG"),
        };
        fields.rest.remove("event");
        let mut line = format!("{} {level} {}", paint("2", &time[11..23]), terminal::safe(&fields.message));
        for (name, value) in &fields.rest {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            line.push_str(&paint("2", &format!(" {name}={}", terminal::safe(&text))));
        }
        line.push('\n');
        line
    }
}

// === impl Fields ===

impl Fields {
    fn put(&mut self, field: &Field, value: Value) {
        if field.name() == "message" {
            self.message = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        } else {
            self.rest.insert(field.name().to_owned(), value);
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.put(field, format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }
}

fn severity(level: Level) -> &'static str {
    match level {
        Level::ERROR => "ERROR",
        Level::WARN => "WARNING",
        Level::INFO => "INFO",
        _ => "DEBUG",
    }
}

/// `chatbus_platform_x::irc::session` is `platform-x`.
fn component(target: &str) -> String {
    let name = target.split("::").next().unwrap_or_default();
    name.strip_prefix("chatbus_").unwrap_or(name).replace('_', "-")
}
