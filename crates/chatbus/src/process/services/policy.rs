//! POLICY_PATH: what may be said, for the delivery engines of this process.

use std::sync::Arc;

use chatbus_delivery::{Answer, Policy, Question};
use chatbus_event_router::PolicyBook;
use chatbus_ops::ReadinessCheck;
use chatbus_routing::{Asked, Policy as Rules, Verdict};
use chatbus_runtime::settings::Problem;
use tokio::sync::watch;

use super::With;
use super::checks::BookCheck;

/// The rules as the engine asks them.
struct Asking(watch::Receiver<Arc<Rules>>);

type Opened = (Option<Arc<dyn Policy>>, Option<Arc<dyn ReadinessCheck>>);

/// Reads the policy, and keeps it up to date.
///
/// # Errors
/// When it is broken: who asked for a policy must not go on without one.
pub(super) async fn open(with: &With<'_>) -> Result<Opened, Vec<Problem>> {
    let Some(path) = with.core.services.policy.clone() else { return Ok((None, None)) };
    let runtime = with.runtime;
    let book = PolicyBook::open(path, runtime.clock.now()).await.map_err(|problems| {
        problems.into_iter().map(|problem| Problem::new("POLICY_PATH", problem)).collect::<Vec<_>>()
    })?;
    let book = Arc::new(book);
    let asking = Asking(book.policy());
    let check = BookCheck::new(super::super::INGRESS_EGRESS, "policy");
    let shown = Arc::clone(&book);
    check.ask(Box::new(move || shown.status()));
    runtime.spawn("policy", book.run(runtime.clone()));
    Ok((Some(Arc::new(asking)), Some(Arc::new(check))))
}

impl Policy for Asking {
    fn ask(&self, question: &Question<'_>) -> Answer {
        let rules = Arc::clone(&self.0.borrow());
        let verdict = rules.decide(&Asked {
            source: question.source,
            platform: Some(question.platform),
            channel: question.channel,
            kind: Some(question.kind.as_str()),
            user_id: question.user_id,
            token: question.token,
            text: question.text,
        });
        match verdict {
            Verdict::Allow => Answer::Allow,
            Verdict::Deny { rule } => Answer::Deny { rule },
            Verdict::Replace { rule, text } => Answer::Replace { rule, text },
        }
    }
}
