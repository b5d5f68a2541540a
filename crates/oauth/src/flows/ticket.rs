//! The state that a browser carries to the platform and back: signed, of one account, bound to the browser, with
//! an end. That it is used once is for the shared state to see to.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chatbus_event::{Entropy, Timestamp};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;

use super::FlowError;

/// Signs states, and knows them again.
pub(super) struct Signer {
    key: hmac::Key,
}

/// A state. It holds no secret: whoever reads it on its way learns nothing, and can do nothing without the
/// browser's cookie.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ticket {
    #[serde(rename = "p")]
    pub(super) platform: String,
    #[serde(rename = "i")]
    pub(super) identity: String,
    /// Under this it counts as used.
    #[serde(rename = "n")]
    pub(super) nonce: String,
    /// Milliseconds since 1970.
    #[serde(rename = "e")]
    ends_at: i64,
    /// A hash of the browser's cookie.
    #[serde(rename = "b")]
    browser: String,
}

/// The longest state that is looked at, in bytes; ours are well below.
const MAX_STATE: usize = 2048;
/// What the key is used for: a signature of one is none of the other.
const STATE: &[u8] = b"state.";
const VERIFIER: &[u8] = b"verifier.";

/// 32 random bytes as text that fits a URL, a cookie and a key of the shared state.
pub(super) fn random(entropy: &dyn Entropy) -> String {
    let mut bytes = [0; 32];
    entropy.fill(&mut bytes);
    URL_SAFE_NO_PAD.encode(bytes)
}

// === impl Ticket ===

impl Ticket {
    pub(super) fn new(
        platform: &str,
        identity: &str,
        browser: &str,
        ends_at: Timestamp,
        entropy: &dyn Entropy,
    ) -> Self {
        Self {
            platform: platform.to_owned(),
            identity: identity.to_owned(),
            nonce: random(entropy),
            ends_at: ends_at.as_millis(),
            browser: hash(browser),
        }
    }

    /// Whether it is over.
    pub(super) fn has_ended(&self, now: Timestamp) -> bool {
        now.as_millis() >= self.ends_at
    }

    /// Whether it was given to the browser with this cookie.
    pub(super) fn is_of(&self, browser: &str) -> bool {
        self.browser.as_bytes().ct_eq(hash(browser).as_bytes()).into()
    }
}

// === impl Signer ===

impl Signer {
    /// A signer with this secret; none when it is empty.
    pub(super) fn new(secret: &SecretString) -> Option<Self> {
        let secret = secret.expose_secret().trim();
        (!secret.is_empty()).then(|| Self { key: hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()) })
    }

    pub(super) fn sign(&self, ticket: &Ticket) -> String {
        // A struct of texts and a number is always JSON.
        let text = URL_SAFE_NO_PAD.encode(serde_json::to_vec(ticket).unwrap_or_default());
        let mac = self.mac(STATE, &[&text]);
        format!("{text}.{mac}")
    }

    pub(super) fn read(&self, state: &str) -> Result<Ticket, FlowError> {
        let (text, mac) = Some(state)
            .filter(|state| state.len() <= MAX_STATE)
            .and_then(|state| state.split_once('.'))
            .ok_or(FlowError::BadState)?;
        let mac = URL_SAFE_NO_PAD.decode(mac).map_err(|_| FlowError::BadState)?;
        let signed = [STATE, text.as_bytes()].concat();
        hmac::verify(&self.key, &signed, &mac).map_err(|_| FlowError::BadState)?;
        let json = URL_SAFE_NO_PAD.decode(text).map_err(|_| FlowError::BadState)?;
        serde_json::from_slice(&json).map_err(|_| FlowError::BadState)
    }

    /// The code verifier of RFC 7636: of this login in this browser, and kept nowhere.
    pub(super) fn verifier(&self, ticket: &Ticket, browser: &str) -> SecretString {
        self.mac(VERIFIER, &[&ticket.nonce, browser]).into()
    }

    /// Its hash, which the platform is told at first.
    pub(super) fn challenge(&self, ticket: &Ticket, browser: &str) -> String {
        hash(self.verifier(ticket, browser).expose_secret())
    }

    fn mac(&self, purpose: &[u8], parts: &[&str]) -> String {
        let signed = [purpose, parts.join(".").as_bytes()].concat();
        URL_SAFE_NO_PAD.encode(hmac::sign(&self.key, &signed))
    }
}

fn hash(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use chatbus_testkit::SeededEntropy;

    use super::*;

    const NOW: Timestamp = Timestamp::EPOCH;

    fn signer(secret: &str) -> Signer {
        Signer::new(&secret.into()).unwrap()
    }

    fn ticket() -> Ticket {
        Ticket::new("somewhere", "bot", "cookie", NOW.plus(Duration::from_secs(600)), &SeededEntropy::new(1))
    }

    #[test]
    fn a_state_is_known_again_by_its_signature() {
        let state = signer("secret").sign(&ticket());
        assert_eq!(signer("secret").read(&state), Ok(ticket()));
        assert!(state.len() < 400, "{}", state.len());
        let (text, mac) = state.split_once('.').unwrap();
        let longer = format!("{state}{}", "A".repeat(MAX_STATE));
        for bad in
            ["", ".", text, &format!("{text}."), &format!("{text}.{text}"), &format!("{mac}.{mac}"), &longer]
        {
            assert_eq!(signer("secret").read(bad), Err(FlowError::BadState), "{bad}");
        }
        assert_eq!(signer("another").read(&state), Err(FlowError::BadState));
        for at in 0..state.len() - 1 {
            let mut bad = state.clone().into_bytes();
            bad[at] = if bad[at] == b'A' { b'B' } else { b'A' };
            assert!(signer("secret").read(std::str::from_utf8(&bad).unwrap()).is_err(), "byte {at}");
        }
    }

    #[test]
    fn there_is_no_signing_without_a_secret() {
        assert!(Signer::new(&"".into()).is_none() && Signer::new(&" \n".into()).is_none());
    }

    #[test]
    fn it_ends_and_is_of_one_browser() {
        let ends = NOW.plus(Duration::from_secs(600));
        assert!(!ticket().has_ended(ends.minus(Duration::from_millis(1))) && ticket().has_ended(ends));
        assert!(ticket().is_of("cookie") && !ticket().is_of("another") && !ticket().is_of(""));
    }

    #[test]
    fn the_verifier_is_of_one_login_in_one_browser() {
        let (signer, ticket) = (signer("secret"), ticket());
        let verifier = |ticket: &Ticket, browser| signer.verifier(ticket, browser).expose_secret().to_owned();
        let ours = verifier(&ticket, "cookie");
        // RFC 7636, section 4.1: 43 to 128 unreserved characters.
        assert_eq!(ours.len(), 43);
        assert_ne!(ours, verifier(&ticket, "another"));
        assert_ne!(ours, verifier(&Ticket { nonce: "n".to_owned(), ..ticket.clone() }, "cookie"));
        assert_eq!(signer.challenge(&ticket, "cookie"), hash(&ours));
        // RFC 7636, appendix B.
        assert_eq!(
            hash("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"),
            "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
        );
    }
}
