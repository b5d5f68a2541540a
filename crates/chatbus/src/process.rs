//! A running chatbus, put together: reads top to bottom as the wiring of the whole.

pub(crate) mod admin;
mod channels;
mod contend;
mod declare;
mod delivering;
mod gateway;
mod http;
mod logins;
mod machine;
mod member;
mod notes;
mod noting;
mod parts;
mod refused;
mod roles;
pub(crate) mod secret_key;
mod served;
mod services;
mod sharing;
mod storing;
pub(crate) mod tokens;
mod webhooks;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use chatbus_bus::{Bus, OpenContext, OpenError, Opened};
use chatbus_connector::{BuildContext, Connector};
use chatbus_delivery::Role;
use chatbus_event::{InstanceId, Topic};
use chatbus_ingress::{Ingress, IngressConfig};
use chatbus_runtime::settings::{Problem, Values};
use chatbus_runtime::{CancellationToken, Runtime};
use chatbus_state::State;
use chatbus_telemetry::Metrics;
use delivering::Delivering;
use tokio::net::TcpListener;
use tokio::sync::watch;

pub(crate) use roles::{INGRESS_EGRESS, Roles, read as read_roles};
pub(crate) use storing::Storing;

use crate::commands::Failure;
use crate::instance::{self, RunFile, RunInfo};
use crate::settings::Core;
use crate::supervisor::Supervisor;
use crate::{logging, registry};
use parts::Part;

/// A running chatbus.
pub(crate) struct Process {
    pub(crate) addr: SocketAddr,
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) state: Arc<dyn State>,
    pub(crate) store: Storing,
    pub(crate) readiness: chatbus_ops::Readiness,
    supervisor: Supervisor,
    /// Cancelled when connectors may let go of their connections.
    drained: CancellationToken,
    /// Cancelled when the publisher is to finish.
    finish: CancellationToken,
    members: Vec<Part>,
    /// The gateway, with what sends its clients away.
    gateway: Option<(Part, CancellationToken)>,
    connectors: Vec<Part>,
    services: Vec<Part>,
    /// There where something is read.
    ingress: Option<Part>,
    http: Part,
    grace: Duration,
    _run_file: Option<RunFile>,
}

/// The share of SHUTDOWN_GRACE_MS that the engine and the publisher each may take; the rest is for
/// closing connections and the bus.
const GRACE_SHARE: f64 = 0.4;

// === impl Process ===

impl Process {
    /// Starts everything that the settings ask for.
    ///
    /// # Errors
    /// Every problem with the settings at once; or what failed at run time.
    pub(crate) async fn start(
        values: &Values,
        core: &Core,
        roles: &Roles,
        supervisor: &Supervisor,
    ) -> Result<Self, Failure> {
        let runtime = supervisor.runtime();
        let identity = instance::identify(values, &core.data_dir, &*runtime.entropy).map_err(|problem| {
            let mut problems = vec![problem];
            registry::add_problems(values, &mut problems);
            Failure::Configuration(problems)
        })?;
        let speaks = roles.speaks();
        // What is wrong with the settings is said before anything is opened.
        build_platforms(values, &build_context(core, &identity.id, &runtime), speaks)?;
        let problems = logins::problems(values, core);
        if !problems.is_empty() {
            return Err(Failure::Configuration(problems));
        }
        std::fs::create_dir_all(&core.data_dir).map_err(|error| {
            Problem::new("DATA_DIR", format!("{} cannot be used: {error}", core.data_dir.display()))
        })?;
        let (Opened { bus, state }, driver) = open_bus(values, core, &identity.id, &runtime).await?;
        let identity = contend::settle(&state, &roles.delivering, identity, &runtime).await?;
        let store = Storing::open(core, &runtime).await?;
        // Who only delivers keeps nothing that others go by.
        if !roles.services.is_empty() {
            store.agree(&state, values, &runtime).await?;
        }
        logging::set_instance(identity.id.as_str());
        for role in &roles.delivering {
            tracing::info!(
                event = "process.starting", version = env!("CARGO_PKG_VERSION"), origin = identity.origin,
                role = role.as_str(), topic = %role.topic(&identity.id),
                "chatbus {} starts as {}, {}", env!("CARGO_PKG_VERSION"), identity.id, role.as_str()
            );
        }
        let egress = Topic::egress_of(&identity.id);
        let logins = match speaks || roles.logins {
            true => logins::open(values, core, &store, &state, &runtime).map_err(Failure::Configuration)?,
            false => None,
        };
        let mut cx = BuildContext {
            notes: Arc::new(notes::StateNotes::new(Arc::clone(&state))),
            ..build_context(core, &identity.id, &runtime)
        };
        if let Some(logins) = &logins {
            // A login that is stored is known before its platform connects.
            logins.keeper.settled().await;
            cx.accounts = Arc::new(logins.keeper.clone());
        }
        let connectors = build_platforms(values, &cx, speaks)?;
        if speaks && connectors.is_empty() {
            tracing::warn!(
                event = "process.no_platform",
                "no platform is configured; set TWITCH_CHANNELS to read one"
            );
        }
        let metrics = Metrics::new();

        let ingress = if roles.delivering.is_empty() {
            None
        } else {
            let config = ingress_config(core, &identity.id, speaks);
            let opened = Ingress::open(config, Arc::clone(&bus), metrics.clone(), runtime.clone()).await;
            Some(opened.map_err(|error| Failure::Runtime(error.into()))?)
        };
        let emitters = ingress.as_ref().map(Ingress::handle);
        let services = services::start(services::With {
            core,
            roles,
            bus: &bus,
            store: &store,
            metrics: &metrics,
            runtime: &runtime,
            instance: identity.id.as_str(),
            login: connectors.iter().find_map(|connector| connector.status().snapshot().auth.login),
        })
        .await
        .map_err(Failure::Configuration)?;

        let with = Delivering {
            core,
            instance: &identity.id,
            roles: &roles.delivering,
            bus: &bus,
            state: &state,
            metrics: &metrics,
            runtime: &runtime,
            epoch: runtime.entropy.uuid().simple().to_string().into(),
            policy: services.policy.clone(),
        };
        let mut members = Vec::new();
        let mut engines = Vec::new();
        let mut served_gateway = None;
        for role in &roles.delivering {
            let others = with.others(*role);
            let (serves, served) = watch::channel(Vec::new());
            let sinks = match role {
                Role::IngressEgress => {
                    let keeping = served::keep(connectors.clone(), serves, runtime.clone());
                    runtime.spawn("egress.served", keeping);
                    let sharing = sharing::keep(
                        connectors.clone(),
                        others.view.clone(),
                        Arc::clone(&state),
                        runtime.clone(),
                    );
                    runtime.spawn("platform.sharing", sharing);
                    connectors.iter().map(|connector| connector.sink()).collect()
                }
                // Where its users are, presence tells.
                Role::ApiGateway => {
                    let Some(emitters) = &emitters else { continue };
                    let accepter = emitters.accepter(registry::GATEWAY);
                    let gateway = gateway::Served::new(&with, others.view.clone(), accepter);
                    let sink = gateway.gateway.sink();
                    served_gateway = Some(gateway);
                    vec![sink]
                }
            };
            let (member, engine) = with.member(*role, others, sinks, served);
            engines.push((role.as_str(), engine));
            members.push(member);
        }

        let listener = TcpListener::bind(core.listen).await.with_context(|| {
            format!(
                "cannot listen on {} (HOST and PORT); is another chatbus running? PORT=0 picks a free port",
                core.listen
            )
        })?;
        let addr = listener.local_addr().context("the listener has no address")?;
        let health = emitters.as_ref().map(chatbus_ingress::IngressHandle::health);
        let readiness = http::readiness(&bus, &connectors, engines, health.clone(), services.checks);
        let ops = http::ops(http::Parts {
            values,
            core,
            bus: &bus,
            driver,
            metrics: &metrics,
            readiness: &readiness,
            connectors: &connectors,
            egress: &egress,
            spool: health,
            refresh: services.refresh,
            runtime: &runtime,
        });

        let drained = CancellationToken::new();
        let finish = CancellationToken::new();
        let mut routes = tokens::routes(Arc::clone(&state), store.clone(), &runtime);
        let admin = admin::Admin { store: store.clone(), bus: Arc::clone(&bus), runtime: runtime.clone() };
        routes = routes.merge(admin::routes(admin));
        let logins = logins.filter(|_| roles.logins);
        routes = routes.merge(logins::admin_routes(logins.clone()));
        if let Some(served) = &served_gateway {
            routes = routes.merge(gateway::debug(Arc::clone(&served.gateway)));
        }
        let open = webhooks::routes(&connectors, emitters.as_ref(), &core.access, &runtime)
            .merge(logins::open_routes(logins));
        let gateway_routes = served_gateway.as_ref().map(|served| Arc::clone(&served.gateway));
        let http = Part::spawn(
            &runtime,
            "http",
            http::serve(listener, ops, http::Routes { admin: routes, open }, gateway_routes, runtime.clone()),
        );
        let declared = declare::all(Arc::clone(&bus), services::subscriptions(), &runtime);
        let ingress = ingress.map(|ingress| {
            let finish = finish.clone();
            Part::spawn(&runtime, "ingress", async move {
                declared.await;
                ingress.run(finish).await;
            })
        });
        let gateway = served_gateway.map(|served| {
            let drain = CancellationToken::new();
            (Part::spawn(&runtime, "gateway", served.run(drain.clone())), drain)
        });
        let members =
            members.into_iter().map(|member| Part::spawn(&runtime, "egress", member.run())).collect();
        channels::keep(&connectors, store.clone(), &runtime);
        let connectors = connectors
            .into_iter()
            .zip(std::iter::repeat(emitters))
            .filter_map(|(connector, emitters)| {
                let emitters = emitters?;
                let emit = emitters.emitter(connector.platform(), Some(Arc::new(connector.status())));
                let drained = drained.clone();
                let run = connector.run(runtime.clone(), emit, drained);
                Some(Part::spawn(&runtime, "platform", run))
            })
            .collect();
        let run_file = RunFile::write(
            &core.data_dir,
            &identity.id,
            &RunInfo { url: format!("http://{}", reachable(addr)), pid: std::process::id() },
        );
        if let Err(error) = &run_file {
            tracing::warn!(event = "process.run_file", %error, "other commands will not find this process by DATA_DIR");
        }
        tracing::info!(event = "http.listening", url = %format!("http://{}", reachable(addr)), "answers on http://{addr}");
        Ok(Self {
            addr,
            bus,
            state,
            store,
            readiness,
            supervisor: supervisor.clone(),
            drained,
            finish,
            members,
            gateway,
            connectors,
            services: services.parts,
            ingress,
            http,
            grace: core.shutdown_grace,
            _run_file: run_file.ok(),
        })
    }

    /// The address by which this machine reaches it.
    pub(crate) fn reachable(&self) -> SocketAddr {
        reachable(self.addr)
    }

    /// Stops reading, finishes what is in hand, returns what is not, and lets go of everything.
    ///
    /// # Errors
    /// When a task crashed, or the grace was over before all was done.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        tracing::info!(event = "process.stopping", "stopping");
        self.supervisor.stop().cancel();
        let orderly = async {
            for member in self.members {
                member.ended().await;
            }
            // What was said in the meantime is with the kernel; clients go to another instance.
            if let Some((gateway, drain)) = self.gateway {
                drain.cancel();
                gateway.ended().await;
            }
            self.drained.cancel();
            for connector in self.connectors {
                connector.ended().await;
            }
            self.finish.cancel();
            if let Some(ingress) = self.ingress {
                ingress.ended().await;
            }
            for service in self.services {
                service.ended().await;
            }
            if let Some(store) = self.store.now() {
                store.close().await;
            }
            self.state.close().await;
            self.bus.close().await;
            self.http.ended().await;
            self.supervisor.ended().await;
        };
        let in_time = tokio::time::timeout(self.grace, orderly).await.is_ok();
        tracing::info!(event = "process.stopped", inTime = in_time, "stopped");
        anyhow::ensure!(!self.supervisor.crashed(), "a task crashed; see the log");
        anyhow::ensure!(
            in_time,
            "not everything was finished within SHUTDOWN_GRACE_MS; nothing is lost, but it will be repeated"
        );
        Ok(())
    }
}

/// What platforms are made with before anything is opened.
fn build_context(core: &Core, instance: &InstanceId, runtime: &Runtime) -> BuildContext {
    let (egress, clock) = (Topic::egress_of(instance), Arc::clone(&runtime.clock));
    BuildContext {
        public_url: core.access.public_url.as_deref().map(Arc::from),
        ..BuildContext::alone(instance.clone(), egress, core.shape, clock)
    }
}

/// Makes every platform that is configured.
fn build_platforms(
    values: &Values,
    cx: &BuildContext,
    speaks: bool,
) -> Result<Vec<Arc<dyn Connector>>, Failure> {
    let mut connectors = Vec::new();
    let mut problems = Vec::new();
    for factory in registry::platforms() {
        match factory.build(values, cx) {
            Ok(connector) => connectors.extend(connector),
            Err(more) => problems.extend(more),
        }
    }
    problems.extend(registry::bus_problems(values));
    if !problems.is_empty() {
        return Err(Failure::Configuration(problems));
    }
    if !speaks {
        return Ok(Vec::new());
    }
    Ok(connectors)
}

/// Opens the bus that MESSAGE_BUS_DRIVER names, and the shared state beside it.
///
/// # Errors
/// When there is no such driver, or it can never work as configured.
pub(crate) async fn open_bus(
    values: &Values,
    core: &Core,
    instance: &InstanceId,
    runtime: &Runtime,
) -> Result<(Opened, &'static str), Failure> {
    let cx = OpenContext {
        runtime: runtime.clone(),
        data_dir: core.data_dir.clone(),
        prefix: core.prefix.clone(),
        dedupe_window: core.dedupe_window,
        source: format!("{INGRESS_EGRESS}.{instance}"),
    };
    match registry::open_bus(values, &core.driver, cx).await {
        Ok(opened) => Ok(opened),
        Err(OpenError::Configuration(problem)) => Err(problem.into()),
        Err(OpenError::Bus(error)) => Err(Failure::Runtime(error.into())),
    }
}

fn ingress_config(core: &Core, instance: &InstanceId, speaks: bool) -> IngressConfig {
    // A gateway of the same id may run as a process of its own, and needs a spool of its own.
    let folder = if speaks { "spool" } else { "spool-gateway" };
    let mut config = IngressConfig::new(instance.clone(), core.data_dir.join(folder));
    config.spool_max_bytes = core.spool_max_bytes;
    config.max_retries = core.publish_max_retries;
    config.dedupe_window = core.dedupe_window;
    config.grace = core.shutdown_grace.mul_f64(GRACE_SHARE);
    config
}

/// The address by which this machine reaches a listener.
fn reachable(addr: SocketAddr) -> SocketAddr {
    match addr {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => SocketAddr::from(([127, 0, 0, 1], v4.port())),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => {
            SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, v6.port()))
        }
        other => other,
    }
}
