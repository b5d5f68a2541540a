//! The device flow: a code for the device to ask with, and one for its user to type elsewhere.

use std::time::{Duration, Instant};

use super::{Auth, Denied, Issued, Scopes, Wanted};

/// Twitch's device codes are good for half an hour.
pub(in super::super) const DEVICE_LIFETIME: Duration = Duration::from_secs(1_800);

/// A device that waits.
#[derive(Debug, Clone)]
pub(super) struct Device {
    client_id: String,
    user_code: String,
    scopes: Scopes,
    expires: Instant,
    decision: Decision,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Decision {
    Open,
    Granted(String),
    Denied,
}

// === impl Auth ===

impl Auth {
    /// The device's code and its user's.
    pub(in super::super) fn start_device(
        &mut self,
        client_id: &str,
        scopes: Scopes,
        now: Instant,
    ) -> (String, String) {
        let device_code = self.fresh();
        let user_code = self.fresh().chars().take(8).collect::<String>().to_ascii_uppercase();
        let device = Device {
            client_id: client_id.to_owned(),
            user_code: user_code.clone(),
            scopes,
            expires: now.checked_add(DEVICE_LIFETIME).unwrap_or(now),
            decision: Decision::Open,
        };
        self.devices.put(&device_code, device);
        (device_code, user_code)
    }

    /// The user decides: grants as this account, or denies. `false` when no device waits with this code,
    /// the user's or the device's own.
    pub(in super::super) fn decide_device(&mut self, code: &str, login: Option<&str>, now: Instant) -> bool {
        let waits = |(key, device): &(&str, &Device)| {
            (device.user_code.eq_ignore_ascii_case(code) || *key == code) && device.expires > now
        };
        let key = self.devices.iter().find(waits).map(|(key, _)| key.to_owned());
        let Some(device) = key.and_then(|key| self.devices.get_mut(&key)) else { return false };
        device.decision = login.map_or(Decision::Denied, |login| Decision::Granted(login.to_owned()));
        true
    }

    /// The token, once the user has granted it.
    pub(in super::super) fn exchange_device(
        &mut self,
        client_id: &str,
        device_code: &str,
        now: Instant,
    ) -> Result<Issued, Denied> {
        let device = self.devices.get(device_code);
        let device = device.filter(|device| device.client_id == client_id && device.expires > now);
        let device = device.cloned().ok_or(Denied::bad("invalid device code"))?;
        match device.decision {
            Decision::Open => Err(Denied::bad("authorization_pending")),
            Decision::Denied => {
                self.devices.remove(device_code);
                Err(Denied::bad("access_denied"))
            }
            Decision::Granted(login) => {
                self.devices.remove(device_code);
                let wanted = Wanted {
                    client_id,
                    login: Some(&login),
                    scopes: device.scopes,
                    lifetime: None,
                    refreshable: true,
                };
                Ok(self.issue(wanted, now))
            }
        }
    }

    /// The user codes of devices nobody has decided on.
    pub(in super::super) fn waiting_devices(&self, now: Instant) -> Vec<String> {
        let open = |device: &&Device| device.decision == Decision::Open && device.expires > now;
        self.devices.iter().map(|(_, device)| device).filter(open).map(|d| d.user_code.clone()).collect()
    }
}
