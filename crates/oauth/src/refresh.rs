//! When a token is looked at next, and what came of it means. Decides only.

use std::time::{Duration, Instant};

use chatbus_connector::CredentialState;

/// How long a failed attempt waits for the next one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// After the first failure; doubles with each.
    pub(crate) first_retry: Duration,
    /// At most.
    pub(crate) longest_retry: Duration,
    /// Between two validations that connectors ask for by what a platform refused them.
    pub(crate) between_doubts: Duration,
}

/// What is known of a token at first.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Facts {
    /// How long it lasts from now on; zero when it is over.
    pub(crate) lasts: Option<Duration>,
    /// Whether another one can be had without a person.
    pub(crate) can_renew: bool,
    /// Whether the platform has said whose it is.
    pub(crate) is_confirmed: bool,
    /// Whether it was had just now, so that it needs no validation yet.
    pub(crate) is_fresh: bool,
    /// How often the platform wants to be asked.
    pub(crate) validate_every: Option<Duration>,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Input {
    /// The platform says that the token is good, and perhaps how long it lasts.
    Validated(Option<Duration>),
    /// It gave no answer.
    ValidationFailed,
    /// It says that the token is not good.
    ValidationRefused,
    /// Another token could not be had, for a reason that passes.
    RenewalFailed,
    /// The platform refuses to give another one.
    RenewalRefused,
    /// It refused the token to a connector.
    Doubted,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    /// Ask the platform whether the token is good.
    Validate,
    /// Get another token.
    Renew,
}

/// A token's course.
#[derive(Debug, Clone)]
pub(crate) struct Refresh {
    pace: Pace,
    state: CredentialState,
    can_renew: bool,
    is_confirmed: bool,
    /// Whether it is over or was refused, and so of no use.
    is_dead: bool,
    ends_at: Option<Instant>,
    validate_every: Option<Duration>,
    renew_at: Option<Instant>,
    validate_at: Option<Instant>,
    validated_at: Option<Instant>,
    failed_renewals: u32,
    failed_validations: u32,
}

/// A token is renewed in the last fifth of its life, and at most so long before its end.
const LONGEST_MARGIN: Duration = Duration::from_secs(30 * 60);

// === impl Pace ===

impl Pace {
    pub(crate) const DEFAULT: Self = Self {
        first_retry: Duration::from_secs(30),
        longest_retry: Duration::from_secs(15 * 60),
        between_doubts: Duration::from_secs(2),
    };

    /// The wait after so many failures; `unit` (0 to 1) makes it up to a quarter longer.
    fn wait(self, failures: u32, unit: f64) -> Duration {
        let doublings = failures.saturating_sub(1).min(31);
        let step = self.first_retry.saturating_mul(1_u32.checked_shl(doublings).unwrap_or(u32::MAX));
        step.min(self.longest_retry).mul_f64(1.0 + unit / 4.0).min(self.longest_retry)
    }
}

// === impl Refresh ===

impl Refresh {
    /// The course of a token. `unit` (0 to 1) is random, so that processes do not all begin at once.
    pub(crate) fn new(pace: Pace, facts: Facts, now: Instant, unit: f64) -> Self {
        let mut this = Self {
            pace,
            state: CredentialState::Ok,
            can_renew: facts.can_renew,
            is_confirmed: facts.is_confirmed,
            is_dead: facts.can_renew && facts.lasts.is_some_and(|lasts| lasts.is_zero()),
            ends_at: None,
            validate_every: facts.validate_every,
            renew_at: None,
            validate_at: None,
            validated_at: facts.is_fresh.then_some(now),
            failed_renewals: 0,
            failed_validations: 0,
        };
        this.validate_at = if this.is_dead {
            None
        } else if !facts.is_confirmed {
            Some(now)
        } else if facts.is_fresh {
            facts.validate_every.map(|every| now + every)
        } else {
            facts.validate_every.map(|_| now)
        };
        if let Some(lasts) = facts.lasts {
            this.lasts(lasts, now, unit);
        }
        this
    }

    /// A login of which nothing can be used.
    pub(crate) fn useless(pace: Pace) -> Self {
        Self {
            pace,
            state: CredentialState::NeedsReauth,
            can_renew: false,
            is_confirmed: true,
            is_dead: true,
            ends_at: None,
            validate_every: None,
            renew_at: None,
            validate_at: None,
            validated_at: None,
            failed_renewals: 0,
            failed_validations: 0,
        }
    }

    /// How good the token is.
    pub(crate) fn state(&self) -> CredentialState {
        self.state
    }

    /// Whether the token may be tried.
    pub(crate) fn is_usable(&self) -> bool {
        !self.is_dead
    }

    /// What is to be done next, and when.
    pub(crate) fn next(&self) -> Option<(Instant, Act)> {
        let validate = self.validate_at.map(|at| (at, Act::Validate));
        let renew = self.renew_at.map(|at| (at, Act::Renew));
        match (validate, renew) {
            (Some(validate), Some(renew)) if renew.0 <= validate.0 => Some(renew),
            (validate, renew) => validate.or(renew),
        }
    }

    /// When another token is to be had.
    pub(crate) fn next_renewal(&self) -> Option<Instant> {
        self.renew_at
    }

    /// Whether another token is to be had by now.
    pub(crate) fn is_renewal_due(&self, now: Instant) -> bool {
        self.renew_at.is_some_and(|at| at <= now)
    }

    /// Takes note of what happened.
    pub(crate) fn on(&mut self, input: Input, now: Instant, unit: f64) {
        match input {
            Input::Validated(lasts) => {
                self.is_confirmed = true;
                self.validated_at = Some(now);
                self.failed_validations = 0;
                self.validate_at = self.validate_every.map(|every| now + every);
                if self.failed_renewals == 0 {
                    self.state = CredentialState::Ok;
                }
                match (lasts, self.ends_at) {
                    (Some(lasts), None) => self.lasts(lasts, now, unit),
                    (Some(lasts), Some(_)) if !self.can_renew => self.lasts(lasts, now, unit),
                    _ => {}
                }
            }
            Input::ValidationFailed => {
                self.failed_validations += 1;
                self.validate_at = Some(now + self.pace.wait(self.failed_validations, unit));
                if !self.is_confirmed {
                    self.state = CredentialState::Degraded;
                }
            }
            Input::ValidationRefused => {
                self.is_dead = true;
                self.validate_at = None;
                if self.can_renew {
                    self.renew_at = Some(now);
                } else {
                    self.state = CredentialState::NeedsReauth;
                }
            }
            Input::RenewalFailed => {
                self.failed_renewals += 1;
                self.renew_at = Some(now + self.pace.wait(self.failed_renewals, unit));
                self.state = CredentialState::Degraded;
            }
            Input::RenewalRefused => {
                self.state = CredentialState::NeedsReauth;
                self.is_dead = true;
                (self.renew_at, self.validate_at) = (None, None);
            }
            Input::Doubted => {
                if self.is_dead {
                    return;
                }
                let soonest = self.validated_at.map_or(now, |at| now.max(at + self.pace.between_doubts));
                self.validate_at = Some(self.validate_at.map_or(soonest, |at| at.min(soonest)));
            }
        }
    }

    /// It ends after this long.
    fn lasts(&mut self, lasts: Duration, now: Instant, unit: f64) {
        let ends_at = now + lasts;
        self.ends_at = Some(ends_at);
        if self.can_renew {
            let margin = (lasts / 5).min(LONGEST_MARGIN).mul_f64(0.5 + unit / 2.0);
            self.renew_at = Some(ends_at - margin);
        } else if !lasts.is_zero() {
            // Then the platform says that it is over.
            self.validate_at = Some(self.validate_at.map_or(ends_at, |at| at.min(ends_at)));
        }
    }
}

#[cfg(test)]
mod tests;
