//! A login that is confirmed on another device (RFC 8628).

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chatbus_event::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use super::{FlowError, Flows, LoggedIn};
use crate::exchange::SLOW_DOWN_BY;
use crate::{Polled, ProviderError};

/// A login on another device has begun.
#[derive(Clone)]
pub struct DeviceBegun {
    /// What the person types.
    pub user_code: String,
    /// Where.
    pub verification_uri: String,
    /// How long to wait between two polls, at least.
    pub interval: Duration,
    /// How long the code lasts.
    pub expires_in: Duration,
    /// What polls are made with. It is sealed: any process of this system can poll, and nobody else can use it.
    /// Whoever holds it can only have the account logged in that the person confirms.
    pub handle: String,
}

/// What a poll gives.
#[derive(Debug, Clone)]
pub enum DevicePoll {
    /// Nobody has confirmed yet. When `slow_down`, this and all waits after it are to be 5 s longer.
    Pending {
        /// Whether polls come too often.
        slow_down: bool,
    },
    /// Somebody has.
    LoggedIn(Box<LoggedIn>),
}

/// What a handle holds.
#[derive(Serialize, Deserialize)]
struct Handle {
    platform: String,
    identity: String,
    code: String,
    ends_at: Timestamp,
}

/// What a handle is sealed for.
const PURPOSE: &[u8] = b"device";
/// The longest handle that is looked at, in bytes.
const MAX_HANDLE: usize = 8 * 1024;

// === impl Flows ===

impl Flows {
    /// Begins a login that a person confirms on another device.
    ///
    /// # Errors
    /// When there is no such account, or the platform has no such flow or gives no code.
    pub async fn device_begin(&self, platform: &str, identity: &str) -> Result<DeviceBegun, FlowError> {
        let (slot, provider) = self.account(platform, identity)?;
        let flow = provider.flow();
        if flow.device_url.is_none() {
            return Err(FlowError::NoDeviceFlow);
        }
        let code = self.exchange.device_start(flow, &slot.wanted).await.map_err(FlowError::ExchangeFailed)?;
        let runtime = &self.backing.runtime;
        let handle = Handle {
            platform: platform.to_owned(),
            identity: identity.to_owned(),
            code: code.device_code.expose_secret().to_owned(),
            ends_at: runtime.clock.now().plus(code.expires_in),
        };
        // A struct of texts is always JSON.
        let plain = serde_json::to_vec(&handle).unwrap_or_default();
        let sealed = self.backing.vault.seal_bytes(PURPOSE, plain, &*runtime.entropy);
        Ok(DeviceBegun {
            user_code: code.user_code,
            verification_uri: code.verification_uri,
            interval: code.interval,
            expires_in: code.expires_in,
            handle: URL_SAFE_NO_PAD.encode(sealed),
        })
    }

    /// Asks whether somebody has confirmed, and logs the account in when so. The caller waits between polls.
    ///
    /// # Errors
    /// When it was denied, is too late, or the platform or the store did not do its part.
    pub async fn device_poll(&self, handle: &str) -> Result<DevicePoll, FlowError> {
        let handle = self.open(handle)?;
        if handle.ends_at <= self.backing.runtime.clock.now() {
            return Err(FlowError::DeviceExpired);
        }
        let (slot, provider) = self.account(&handle.platform, &handle.identity)?;
        let code = SecretString::from(handle.code);
        match self.exchange.device_poll(provider.flow(), &slot.wanted, &code).await {
            Ok(Polled::Pending) => Ok(DevicePoll::Pending { slow_down: false }),
            Ok(Polled::SlowDown) => Ok(DevicePoll::Pending { slow_down: true }),
            Ok(Polled::Tokens(tokens)) => {
                let done = self.log_in(slot, provider, tokens).await?;
                Ok(DevicePoll::LoggedIn(Box::new(done)))
            }
            Err(ProviderError::Refused { code, message }) => Err(match code.as_str() {
                "access_denied" => FlowError::Denied("the code was not confirmed".to_owned()),
                // The second is what is said of a code that is forgotten.
                "expired_token" | "invalid_device_code" => FlowError::DeviceExpired,
                _ => FlowError::ExchangeFailed(ProviderError::Refused { code, message }),
            }),
            Err(error) => Err(FlowError::ExchangeFailed(error)),
        }
    }

    /// Polls until somebody has confirmed or denied, or it is too late.
    ///
    /// # Errors
    /// As [`Flows::device_poll`]; what passes is waited for.
    pub async fn device_wait(&self, begun: &DeviceBegun) -> Result<LoggedIn, FlowError> {
        let mut interval = begun.interval;
        loop {
            tokio::time::sleep(interval).await;
            match self.device_poll(&begun.handle).await {
                Ok(DevicePoll::LoggedIn(done)) => return Ok(*done),
                Ok(DevicePoll::Pending { slow_down: false }) => {}
                // RFC 8628, section 3.5, for both.
                Ok(DevicePoll::Pending { slow_down: true })
                | Err(FlowError::ExchangeFailed(ProviderError::Unavailable(_))) => interval += SLOW_DOWN_BY,
                Err(error) => return Err(error),
            }
        }
    }

    fn open(&self, handle: &str) -> Result<Handle, FlowError> {
        let sealed = Some(handle).filter(|handle| handle.len() <= MAX_HANDLE).ok_or(FlowError::BadHandle)?;
        let sealed = URL_SAFE_NO_PAD.decode(sealed).map_err(|_| FlowError::BadHandle)?;
        let (plain, _) = self.backing.vault.open_bytes(PURPOSE, &sealed).map_err(|_| FlowError::BadHandle)?;
        serde_json::from_slice(&plain).map_err(|_| FlowError::BadHandle)
    }
}

// === impl DeviceBegun ===

impl fmt::Debug for DeviceBegun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeviceBegun")
            .field("verification_uri", &self.verification_uri)
            .finish_non_exhaustive()
    }
}
