//! A whole chatbus in this process, for the time of a benchmark.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use chatbus_bus::{Bus, Record, Scan, ScanFrom, ScanTopics};
use chatbus_delivery::Role;
use chatbus_event::{InstanceId, Topic};
use chatbus_runtime::settings::{Origin, Values};
use chatbus_state::State;

use super::Setup;
use crate::cli::SettingFlags;
use crate::commands::{Failure, load};
use crate::logging::{self, Stream};
use crate::process::{Process, Roles, open_bus};
use crate::settings::{Core, Environment};
use crate::supervisor::Supervisor;

/// The instance's name; its egress topic is known before it runs.
pub(super) const INSTANCE: &str = "bench";

const READY_WITHIN: Duration = Duration::from_secs(30);

/// Settings of one run.
pub(super) struct Configured {
    values: Values,
    core: Core,
}

/// A running chatbus.
pub(super) struct Running {
    pub(super) supervisor: Supervisor,
    process: Process,
    http: reqwest::Client,
}

// === impl Configured ===

impl Configured {
    /// Settings for the bus of this benchmark with its data in a folder of this name, and more. Neither
    /// the environment nor a file of the user has a say.
    pub(super) fn new(
        setup: &Setup,
        name: &str,
        nats_url: Option<&str>,
        more: &[(&str, &str)],
    ) -> Result<Self, Failure> {
        let folder = setup.folder.path();
        let file = folder.join("none.toml");
        std::fs::write(&file, "")?;
        let data = folder.join(name).display().to_string();
        let mut pairs = vec![
            ("DATA_DIR", data.as_str()),
            ("PORT", "0"),
            ("MESSAGE_BUS_DRIVER", setup.driver.as_str()),
            ("EGRESS_INSTANCE_ID", INSTANCE),
            // What waits from the start of a long run must not expire.
            ("EGRESS_DEADLINE_MS", "3600000"),
        ];
        if let Some(url) = nats_url {
            pairs.push(("NATS_URL", url));
        }
        pairs.extend_from_slice(more);
        let layer = pairs
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value.to_owned(), Origin::Flag("bench".to_owned())))
            .collect();
        let flags = SettingFlags { config: Some(file), layer };
        let (values, core) = load(flags, &Environment::default())?;
        Ok(Self { values, core })
    }

    /// Opens the bus alone.
    pub(super) async fn open_bus(&self, supervisor: &Supervisor) -> Result<Arc<dyn Bus>, Failure> {
        let instance = InstanceId::parse(INSTANCE).map_err(|error| Failure::Runtime(error.into()))?;
        let runtime = supervisor.runtime();
        logging::start(&self.values, Arc::clone(&runtime.clock), Stream::Stderr, Some("warn"));
        std::fs::create_dir_all(&self.core.data_dir)?;
        let (opened, _) = open_bus(&self.values, &self.core, &instance, &runtime).await?;
        let bus = opened.bus;
        let mut status = bus.status();
        let connected = status.wait_for(|status| status.connected);
        tokio::time::timeout(READY_WITHIN, connected)
            .await
            .context("the bus is out of reach")?
            .map_err(|error| Failure::Runtime(error.into()))?;
        Ok(bus)
    }

    /// Starts what speaks to platforms and waits until it is ready.
    pub(super) async fn start(&self) -> Result<Running, Failure> {
        self.start_as(&[Role::IngressEgress]).await
    }

    /// Starts these roles and waits until they are ready.
    pub(super) async fn start_as(&self, roles: &[Role]) -> Result<Running, Failure> {
        self.start_with(&Roles::delivering(roles)).await
    }

    /// Starts all of these and waits until they are ready.
    pub(super) async fn start_with(&self, roles: &Roles) -> Result<Running, Failure> {
        let supervisor = Supervisor::new();
        logging::start(&self.values, supervisor.runtime().clock, Stream::Stderr, Some("warn"));
        let process = Process::start(&self.values, &self.core, roles, &supervisor).await?;
        let http = reqwest::Client::builder().no_proxy().build().context("no HTTP client can be made")?;
        let running = Running { supervisor, process, http };
        running.ready().await?;
        Ok(running)
    }
}

// === impl Running ===

impl Running {
    pub(super) fn bus(&self) -> &Arc<dyn Bus> {
        &self.process.bus
    }

    pub(super) fn state(&self) -> &Arc<dyn State> {
        &self.process.state
    }

    /// Where it answers HTTP.
    pub(super) fn addr(&self) -> SocketAddr {
        self.process.addr
    }

    async fn ready(&self) -> anyhow::Result<()> {
        let waiting_for = || self.process.readiness.check(None).waiting_for;
        let ready = async {
            let mut often = tokio::time::interval(Duration::from_millis(5));
            while !waiting_for().is_empty() {
                often.tick().await;
            }
        };
        tokio::time::timeout(READY_WITHIN, ready)
            .await
            .map_err(|_| anyhow!("not ready: still waiting for {}", waiting_for().join(", ")))
    }

    /// The sum of a metric over its labels.
    pub(super) async fn metric(&self, name: &str) -> anyhow::Result<u64> {
        self.metrics([name]).await.map(|[sum]| sum)
    }

    /// The same of several, at one moment.
    pub(super) async fn metrics<const N: usize>(&self, names: [&str; N]) -> anyhow::Result<[u64; N]> {
        let url = format!("http://{}/metrics", self.process.addr);
        let text = self.http.get(url).send().await?.text().await?;
        Ok(names.map(|name| sum_of(&text, name)))
    }

    /// The newest message of a topic.
    pub(super) async fn newest(&self, topic: &Topic) -> anyhow::Result<Record> {
        let topics = ScanTopics::One(topic.clone());
        let scan = Scan { topics, from: ScanFrom::Last(1), follow: false };
        let mut records = self.bus().scan(scan).await?;
        Ok(records.next().await.context("there is nothing on the bus")??)
    }

    pub(super) async fn stop(self) -> anyhow::Result<()> {
        self.process.stop().await
    }
}

fn sum_of(text: &str, name: &str) -> u64 {
    let value = |line: &str| {
        let rest = line.strip_prefix(name)?;
        let number = if rest.starts_with('{') { rest.rsplit_once("} ")?.1 } else { rest.strip_prefix(' ')? };
        number.split(' ').next()?.parse::<u64>().ok()
    };
    text.lines().filter_map(value).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_summed_over_its_labels_and_no_other_is_taken_for_it() {
        let text =
            "# TYPE a_total counter\na_total{p=\"x} 9\"} 2\na_total{p=\"y\"} 3\na_total_more 7\nb_total 5\n";
        assert_eq!((sum_of(text, "a_total"), sum_of(text, "b_total"), sum_of(text, "c")), (5, 5, 0));
    }
}
