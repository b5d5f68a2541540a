//! Health, readiness, metrics, debug views and the admin API: what an operator and the command
//! line see of a running process, over HTTP.

mod api;
mod debug;
mod guard;
mod health;
mod metrics;
mod readiness;
mod router;
mod serve;

pub use api::send::{SendTarget, TargetParser};
pub use guard::AdminGuard;
pub use readiness::{Check, PlatformCheck, Readiness, ReadinessCheck, platform_check};
pub use router::{Ops, PlatformView, Refresh, router, router_with};
pub use serve::{HttpLimits, serve};
