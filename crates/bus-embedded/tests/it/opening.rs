//! Opening: who may, and how long it takes.

use std::sync::Arc;
use std::time::Duration;

use chatbus_bus::{Bus as _, BusFactory as _, OpenContext, Opened, Publish as _};
use chatbus_bus_embedded::{DataLock, EmbeddedBus, EmbeddedConfig, Factory, OpenError};
use chatbus_event::{Clock as _, Topic};
use chatbus_runtime::SystemClock;
use chatbus_runtime::settings::Values;
use chatbus_testkit::test_runtime;

use crate::harness::{NoDeadLetters, message, open};

#[tokio::test]
async fn a_second_opening_of_a_data_dir_is_refused_and_told_to_use_nats() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(EmbeddedConfig::new(dir.path()));
    let refused =
        EmbeddedBus::open(EmbeddedConfig::new(dir.path()), Arc::new(NoDeadLetters), test_runtime(1));
    let error = refused.unwrap_err();
    assert!(
        matches!(error, OpenError::Locked { pid: Some(pid), .. } if pid == std::process::id()),
        "{error}"
    );
    assert!(error.to_string().contains("MESSAGE_BUS_DRIVER=nats"), "{error}");
    assert!(DataLock::is_held(dir.path()).unwrap());
    first.close().await;
    assert!(!DataLock::is_held(dir.path()).unwrap(), "closing frees the lock");
    open(EmbeddedConfig::new(dir.path())).close().await;
}

#[tokio::test]
async fn another_prefix_is_another_bus_of_the_same_lock() {
    let dir = tempfile::tempdir().unwrap();
    let lock = DataLock::acquire(dir.path()).unwrap();
    let mut config = EmbeddedConfig::new(dir.path());
    config.prefix = "dev.".into();
    let refused = EmbeddedBus::open(config.clone(), Arc::new(NoDeadLetters), test_runtime(1));
    assert!(matches!(refused, Err(OpenError::Locked { .. })));
    let bus = EmbeddedBus::open_locked(config, lock, Arc::new(NoDeadLetters), test_runtime(1)).unwrap();
    bus.publish(&Topic::ingress(), message("m", b"{}".to_vec())).await.unwrap();
    bus.close().await;
    assert!(dir.path().join("bus").join("bus-dev..db").exists());
}

#[tokio::test]
async fn the_factory_names_the_setting_that_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let context = |prefix: &str| OpenContext {
        runtime: test_runtime(1),
        data_dir: dir.path().to_owned(),
        prefix: prefix.to_owned(),
        dedupe_window: Duration::from_secs(120),
        source: "test".to_owned(),
    };
    let values = Values::default();
    let problem = |opened: Result<_, chatbus_bus::OpenError>| match opened.err() {
        Some(chatbus_bus::OpenError::Configuration(problem)) => problem.setting,
        other => panic!("{other:?}"),
    };
    assert_eq!(problem(Factory.open(&values, context("../")).await.map(drop)), "BUS_PREFIX");
    let Opened { bus, state } = Factory.open(&values, context("")).await.map_err(|e| e.to_string()).unwrap();
    assert!(*state.connected().borrow());
    assert_eq!(problem(Factory.open(&values, context("")).await.map(drop)), "DATA_DIR");
    bus.close().await;
}

#[tokio::test]
async fn a_big_backlog_and_a_full_window_are_opened_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let bus = open(EmbeddedConfig::new(dir.path()));
    let topic = Topic::ingress();
    let receipts: Vec<_> =
        (0..20_000).map(|n| bus.publish(&topic, message(&n.to_string(), vec![b'x'; 1000]))).collect();
    for receipt in receipts {
        receipt.await.unwrap();
    }
    bus.kill().await;
    drop(bus);
    let begun = SystemClock.instant();
    let bus = open(EmbeddedConfig::new(dir.path()));
    let opened = SystemClock.instant() - begun;
    // Ten times what it takes on a calm machine, and a tenth of what reading the messages would.
    assert!(opened < Duration::from_millis(500), "{opened:?}");
    assert!(bus.publish(&topic, message("7", Vec::new())).await.unwrap().duplicate);
    bus.close().await;
}

#[tokio::test]
async fn dropping_the_bus_finishes_what_was_accepted() {
    let dir = tempfile::tempdir().unwrap();
    let bus = open(EmbeddedConfig::new(dir.path()));
    let receipts: Vec<_> =
        (0..100).map(|n| bus.publish(&Topic::ingress(), message(&n.to_string(), vec![1]))).collect();
    drop(bus);
    for receipt in receipts {
        receipt.await.unwrap();
    }
    open(EmbeddedConfig::new(dir.path())).close().await;
}
