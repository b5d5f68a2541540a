//! Why a login did not come about.

use crate::ProviderError;

/// Why a login did not come about. It prints as a sentence for the person who logs in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FlowError {
    /// There is no such platform, or it has no such account.
    #[error("there is no such account to log in")]
    UnknownAccount,
    /// Nothing signs what browsers come back with.
    #[error("OAUTH_STATE_SECRET is not set")]
    NoStateSecret,
    /// Nobody knows where the browser should come back to.
    #[error("neither PUBLIC_URL nor the platform's redirect address is set")]
    NoPublicUrl,
    /// Something else in the settings cannot work.
    #[error("{0}")]
    Misconfigured(String),
    /// The state is missing, or not one that this program gave out for this.
    #[error("the state is not one that was given out here: begin again")]
    BadState,
    /// It took longer than 10 minutes.
    #[error("the login took longer than 10 minutes: begin again")]
    StateExpired,
    /// The state was used before.
    #[error("this login was completed before: begin again")]
    StateUsed,
    /// Another browser began.
    #[error("the login was begun in another browser, or its cookie is gone: begin again in this one")]
    WrongBrowser,
    /// The person, or the platform, said no.
    #[error("the platform says no: {0}")]
    Denied(String),
    /// The browser came back without a code.
    #[error("the platform sent the browser back without a code")]
    MissingCode,
    /// The platform gave no tokens.
    #[error("the platform gave no tokens: {0}")]
    ExchangeFailed(ProviderError),
    /// The platform gave tokens, and then did not say whose they are.
    #[error("the platform does not say whose the tokens are: {0}")]
    IdentifyFailed(ProviderError),
    /// Whether the state was used before cannot be told.
    #[error("the shared state is out of reach: {0}")]
    StateUnavailable(String),
    /// The login could not be kept.
    #[error("the login could not be stored: {0}")]
    StoreUnavailable(String),
    /// The platform has no login on another device.
    #[error("the platform has no login on another device")]
    NoDeviceFlow,
    /// The handle is not one that this program gave out.
    #[error("the handle is not one that was given out here")]
    BadHandle,
    /// Nobody confirmed in time.
    #[error("nobody confirmed the code in time: begin again")]
    DeviceExpired,
}

// === impl FlowError ===

impl FlowError {
    /// A stable name for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnknownAccount => "unknown_account",
            Self::NoStateSecret => "no_state_secret",
            Self::NoPublicUrl => "no_public_url",
            Self::Misconfigured(_) => "misconfigured",
            Self::BadState => "bad_state",
            Self::StateExpired => "state_expired",
            Self::StateUsed => "state_used",
            Self::WrongBrowser => "wrong_browser",
            Self::Denied(_) => "denied",
            Self::MissingCode => "missing_code",
            Self::ExchangeFailed(_) => "exchange_failed",
            Self::IdentifyFailed(_) => "identify_failed",
            Self::StateUnavailable(_) => "state_unavailable",
            Self::StoreUnavailable(_) => "store_unavailable",
            Self::NoDeviceFlow => "no_device_flow",
            Self::BadHandle => "bad_handle",
            Self::DeviceExpired => "device_expired",
        }
    }

    /// The HTTP status that fits.
    pub fn http_status(&self) -> u16 {
        match self {
            Self::UnknownAccount | Self::NoDeviceFlow => 404,
            Self::BadState
            | Self::StateExpired
            | Self::StateUsed
            | Self::WrongBrowser
            | Self::Denied(_)
            | Self::MissingCode
            | Self::BadHandle
            | Self::DeviceExpired => 400,
            Self::NoStateSecret | Self::NoPublicUrl | Self::Misconfigured(_) => 500,
            Self::ExchangeFailed(_) | Self::IdentifyFailed(_) => 502,
            Self::StateUnavailable(_) | Self::StoreUnavailable(_) => 503,
        }
    }
}
