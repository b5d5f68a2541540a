//! `chatbus doctor`.

mod accounts;

use std::io::{IsTerminal as _, Write as _};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chatbus_connector::{BuildContext, ConnectionState, Connector, Emit, Emitted, Inbound};
use chatbus_event::{InstanceId, Topic};
use chatbus_event_router::{PolicyBook, RuleBook, RuleBookConfig};
use chatbus_http::hyper::Request;
use chatbus_http::{HttpClient, Sent};
use chatbus_routing::DefaultRules;
use chatbus_runtime::settings::{Problem, Values};
use chatbus_runtime::{CancellationToken, Runtime};
use chatbus_store::Store;
use serde::Serialize;

use super::{Failure, Outcome, load};
use crate::cli::DoctorArgs;
use crate::instance;
use crate::process::open_bus;
use crate::settings::{Core, Environment};
use crate::supervisor::Supervisor;
use crate::{registry, terminal};

/// What was found out about one thing.
#[derive(Debug, Serialize)]
struct Finding {
    check: String,
    ok: bool,
    message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    mend: Option<String>,
}

/// Takes what a platform says while it is only looked at.
struct Ignore;

const WITHIN: Duration = Duration::from_secs(10);

pub(crate) async fn run(args: DoctorArgs, environment: &Environment) -> Outcome {
    let supervisor = Supervisor::new();
    let findings = match load(args.settings, environment) {
        Ok((values, core)) => examine(&values, &core, &supervisor.runtime()).await,
        Err(Failure::Configuration(problems)) => problems.iter().map(Finding::problem).collect(),
        Err(other) => return Err(other),
    };
    supervisor.stop().cancel();
    // Everything was told to stop; what does not must not keep the report.
    let _ = tokio::time::timeout(Duration::from_secs(2), supervisor.ended()).await;
    print(&findings, args.json)?;
    if findings.iter().all(|finding| finding.ok) { Ok(()) } else { Err(Failure::Reported(1)) }
}

async fn examine(values: &Values, core: &Core, runtime: &Runtime) -> Vec<Finding> {
    let mut findings = vec![Finding::good("configuration", "every setting is valid")];
    let identity = match instance::identify(values, &core.data_dir, &*runtime.entropy) {
        Ok(identity) => {
            findings.push(Finding::good("instance", format!("{} (from {})", identity.id, identity.origin)));
            identity
        }
        Err(problem) => {
            findings.push(Finding::problem(&problem));
            return findings;
        }
    };
    let problems = registry::bus_problems(values);
    if problems.is_empty() {
        findings.push(bus(values, core, &identity.id, runtime).await);
    }
    findings.extend(problems.iter().map(Finding::problem));
    let (store, finding) = store(core, runtime).await;
    findings.push(finding);
    let (accounts, good) = accounts::examine(values, core, store.as_ref(), runtime).await;
    findings.extend(accounts);
    if let Some(store) = store {
        store.close().await;
    }
    findings.extend(rules(core, runtime).await);
    findings.extend(public_url(core).await);
    findings.extend(platforms(values, core, &identity.id, good, runtime).await);
    findings
}

async fn bus(values: &Values, core: &Core, id: &InstanceId, runtime: &Runtime) -> Finding {
    let name = format!("bus {}", core.driver);
    let bus = match open_bus(values, core, id, runtime).await {
        Ok((opened, _)) => opened.bus,
        Err(Failure::Configuration(problems)) => {
            let text = problems.first().map(ToString::to_string).unwrap_or_default();
            return Finding::bad(
                name,
                text,
                "stop the chatbus that runs here, or give this one another DATA_DIR",
            );
        }
        Err(other) => return Finding::bad(name, format!("{other:?}"), "see the message"),
    };
    let mut status = bus.status();
    let connected = tokio::time::timeout(WITHIN, status.wait_for(|status| status.connected))
        .await
        .is_ok_and(|r| r.is_ok());
    let reason = bus.status().borrow().reason.clone();
    bus.close().await;
    if connected {
        return Finding::good(name, "in reach");
    }
    let why = reason.map_or_else(|| "no connection".to_owned(), |reason| reason.to_string());
    Finding::bad(name, why, "check NATS_URL and that the server runs with JetStream (nats-server -js)")
}

async fn store(core: &Core, runtime: &Runtime) -> (Option<Arc<dyn Store>>, Finding) {
    let url = &core.services.store_url;
    // Behind the scheme may stand a password.
    let name = format!("store {}", url.split_once(':').map_or("", |(scheme, _)| scheme));
    match registry::open_store(url, &core.data_dir, runtime).await {
        Ok(store) => {
            let finding = Finding::good(name, format!("in reach, id {}", store.id()));
            (Some(store), finding)
        }
        Err(error) => {
            (None, Finding::bad(name, error.to_string(), "check STORE_URL and that the database runs"))
        }
    }
}

/// Whether PUBLIC_URL leads to a chatbus. When nothing answers there, nothing may run yet.
async fn public_url(core: &Core) -> Option<Finding> {
    let url = core.access.public_url.as_ref()?;
    let name = "public URL";
    let mend = "PUBLIC_URL has to lead to this process's HTTP port, through whatever stands before it";
    let asked = async {
        let request =
            Request::get(format!("{url}/livez")).body(Sent::default()).map_err(|e| e.to_string())?;
        let client = HttpClient::new(WITHIN, 64 * 1024).map_err(|error| error.to_string())?;
        client.ask(request).await.map_err(|error| error.to_string())
    };
    Some(match asked.await {
        Ok(answer) if answer.body.windows(9).any(|part| part == b"\"chatbus\"") => {
            Finding::good(name, format!("{url} leads to a chatbus"))
        }
        Ok(answer) => Finding::bad(name, format!("{url} answers {}, as something else", answer.status), mend),
        Err(why) => {
            Finding::good(name, format!("nothing answers at {url} now ({why}); look again while it runs"))
        }
    })
}

/// Rules and policy as they would be read now.
async fn rules(core: &Core, runtime: &Runtime) -> Vec<Finding> {
    let mut findings = Vec::new();
    let now = runtime.clock.now();
    if let Some(path) = &core.services.rules {
        let book = RuleBook::new(RuleBookConfig {
            path: Some(path.clone()),
            documents: None,
            defaults: DefaultRules::default(),
            known_topics: Vec::new(),
        });
        book.refresh(now).await;
        let status = book.status();
        let problems: Vec<String> =
            status.sources.iter().flat_map(|source| source.problems.iter().cloned()).collect();
        findings.push(match problems.is_empty() {
            true => Finding::good("rules", format!("{} in force", status.rules)),
            false => Finding::bad("rules", problems.join("; "), "see `chatbus rules check`"),
        });
    }
    if let Some(path) = &core.services.policy {
        findings.push(match PolicyBook::open(path.clone(), now).await {
            Ok(_) => Finding::good("policy", "well"),
            Err(problems) => {
                Finding::bad("policy", problems.join("; "), "mend the file that POLICY_PATH names")
            }
        });
    }
    findings
}

async fn platforms(
    values: &Values,
    core: &Core,
    id: &InstanceId,
    good: accounts::Good,
    runtime: &Runtime,
) -> Vec<Finding> {
    let (egress, clock) = (Topic::egress_of(id), Arc::clone(&runtime.clock));
    let cx = BuildContext {
        accounts: Arc::new(good),
        public_url: core.access.public_url.as_deref().map(Arc::from),
        ..BuildContext::alone(id.clone(), egress, core.shape, clock)
    };
    let mut findings = Vec::new();
    for factory in registry::platforms() {
        match factory.build(values, &cx) {
            Ok(None) => findings.push(Finding::good(factory.platform(), "not configured")),
            Ok(Some(connector)) => findings.push(platform(connector, runtime).await),
            Err(problems) => findings.extend(problems.iter().map(Finding::problem)),
        }
    }
    findings
}

/// Connects as `serve` would, and looks at how that goes.
async fn platform(connector: Arc<dyn Connector>, runtime: &Runtime) -> Finding {
    let name = connector.platform();
    let status = connector.status();
    let stop = CancellationToken::new();
    let own = Runtime { stop: stop.clone(), ..runtime.clone() };
    runtime.spawn("doctor.platform", connector.run(own, Arc::new(Ignore), stop.clone()));
    let mut changes = status.changes();
    let decided = async {
        loop {
            let snapshot = status.snapshot();
            let check = chatbus_ops::platform_check(name, &snapshot);
            if check.waiting_for.is_empty()
                || snapshot.state == ConnectionState::Error
                || changes.changed().await.is_err()
            {
                return;
            }
        }
    };
    let _ = tokio::time::timeout(WITHIN, decided).await;
    // Before the stop: a platform that is told to stop is not connected any more.
    let snapshot = status.snapshot();
    stop.cancel();
    let check = chatbus_ops::platform_check(name, &snapshot);
    let login = snapshot.auth.login.as_deref().unwrap_or("anonymous");
    if let Some(skew) = snapshot.last_error.as_ref().filter(|error| error.code == "clock_skew") {
        return Finding::bad(name, skew.message.clone(), "set this machine's clock, for example by NTP");
    }
    if !snapshot.auth.missing_scopes.is_empty() {
        let lacks = snapshot.auth.missing_scopes.join(" ");
        return Finding::bad(name, format!("{login} lacks the scopes {lacks}"), "log in again with them");
    }
    if check.waiting_for.is_empty() && check.degraded.is_empty() {
        let channels = snapshot.joined_channels.len();
        return Finding::good(name, format!("connected as {login}, {channels} channel(s) joined"));
    }
    let mut why = check.waiting_for;
    why.extend(check.degraded);
    let error =
        snapshot.last_error.map(|error| format!("; {}: {}", error.code, error.message)).unwrap_or_default();
    Finding::bad(
        name,
        format!("waiting for {}{error}", why.join(", ")),
        "check the account's token and the names of the channels",
    )
}

fn print(findings: &[Finding], json: bool) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    if json {
        return writeln!(out, "{}", serde_json::to_string(findings).unwrap_or_default());
    }
    let color = out.is_terminal();
    for finding in findings {
        let (mark, paint) = if finding.ok { ("ok  ", "32") } else { ("FAIL", "31;1") };
        let mark = if color { format!("\x1b[{paint}m{mark}\x1b[0m") } else { mark.to_owned() };
        writeln!(out, "{mark}  {}: {}", finding.check, terminal::safe(&finding.message))?;
        if let Some(mend) = &finding.mend {
            writeln!(out, "      to mend it: {mend}")?;
        }
    }
    Ok(())
}

// === impl Finding ===

impl Finding {
    fn good(check: impl Into<String>, message: impl Into<String>) -> Self {
        Self { check: check.into(), ok: true, message: message.into(), mend: None }
    }

    fn bad(check: impl Into<String>, message: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { check: check.into(), ok: false, message: message.into(), mend: Some(mend.into()) }
    }

    fn problem(problem: &Problem) -> Self {
        Self::bad(problem.setting.clone(), problem.message.clone(), "see docs/settings.md")
    }
}

#[async_trait]
impl Emit for Ignore {
    async fn emit(&self, _: Vec<Inbound>) -> Emitted {
        Emitted::Taken
    }
}
