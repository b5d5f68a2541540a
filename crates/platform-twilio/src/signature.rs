//! Whether a request is Twilio's: the `X-Twilio-Signature` header.
//!
//! The header is base64 of HMAC-SHA1, keyed with the account's auth token, over the URL as Twilio called it
//! and then, for forms, every parameter's name and value: sorted by name, the values of one name sorted and each
//! counted once. A body that is no form is covered by the query's `bodySHA256` instead
//! (<https://www.twilio.com/docs/usage/security#validating-requests>).
//!
//! Which spelling of the URL was signed differs: Twilio adds or drops ports, and its older products wrote the
//! query anew. So several forms are tried, as Twilio's own libraries do; each needs the token all the same. The
//! URL is never parsed and written again, which would change what was signed: the case of the host, `//`, and
//! characters beyond ASCII stay.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use sha1::Sha1;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use url::form_urlencoded;

/// A form's parameter, decoded: bytes, since they need not be UTF-8.
pub type Param = (Vec<u8>, Vec<u8>);

/// 20 bytes in base64.
const SIGNATURE_LEN: usize = 28;

/// Whether one of the forms of this URL and these parameters was signed with the token.
pub fn is_signed(token: &SecretString, signature: &str, url: &str, params: &[Param]) -> bool {
    // Nothing else is one, and its HMACs need not be made.
    if signature.len() != SIGNATURE_LEN {
        return false;
    }
    let tail = signed_params(params);
    url_forms(url).iter().any(|form| {
        let expected = STANDARD.encode(mac(token, &[form.as_bytes(), &tail]));
        expected.as_bytes().ct_eq(signature.as_bytes()).into()
    })
}

/// Whether the URL was signed, and its `bodySHA256` is that of the body.
pub fn is_body_signed(token: &SecretString, signature: &str, url: &str, body: &[u8]) -> bool {
    let query = url.split_once('?').map_or("", |(_, query)| query);
    let hash = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "bodySHA256");
    let Some((_, hash)) = hash else { return false };
    let is_body: bool =
        hex(&Sha256::digest(body)).as_bytes().ct_eq(hash.to_ascii_lowercase().as_bytes()).into();
    is_body && is_signed(token, signature, url, &[])
}

/// The signature of a URL, as it is, and parameters: what Twilio would send.
pub fn sign(token: &SecretString, url: &str, params: &[Param]) -> String {
    STANDARD.encode(mac(token, &[url.as_bytes(), &signed_params(params)]))
}

fn mac(token: &SecretString, parts: &[&[u8]]) -> Vec<u8> {
    // A key of any length is taken; without one nothing matches.
    let Ok(mut mac) = Hmac::<Sha1>::new_from_slice(token.expose_secret().as_bytes()) else {
        return Vec::new();
    };
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().to_vec()
}

fn signed_params(params: &[Param]) -> Vec<u8> {
    let mut sorted: Vec<&Param> = params.iter().collect();
    sorted.sort_unstable();
    sorted.dedup();
    sorted.iter().flat_map(|(name, value)| name.iter().chain(value)).copied().collect()
}

/// The spellings of a URL that may have been signed, each once, the URL as it is first.
fn url_forms(url: &str) -> Vec<String> {
    let (base, query) = match url.split_once('?') {
        Some((base, query)) => (base, Some(query)),
        None => (url, None),
    };
    let bases = [Some(base.to_owned()), without_port(base), with_port(base)];
    let queries = match query {
        None => vec![String::new()],
        Some(query) => {
            [query.to_owned(), query.replace('\'', "%27"), query.replace("%27", "'"), rewritten(query)]
                .into_iter()
                .map(|query| format!("?{query}"))
                .collect()
        }
    };
    let mut forms: Vec<String> = Vec::new();
    for base in bases.into_iter().flatten() {
        for query in &queries {
            let form = format!("{base}{query}");
            if !forms.contains(&form) {
                forms.push(form);
            }
        }
    }
    forms
}

/// Where the port begins, at its colon, and where it ends; both the same where there is none.
fn port(base: &str) -> Option<(usize, usize)> {
    let from = base.find("://")? + 3;
    let end = base.get(from..)?.find('/').map_or(base.len(), |at| from + at);
    let authority = base.get(from..end)?;
    let host = authority.rfind('@').map_or(0, |at| at + 1);
    let digits = authority.rfind(':').filter(|colon| {
        let after = authority.get(colon + 1..).unwrap_or_default();
        *colon >= host && !after.is_empty() && after.bytes().all(|b| b.is_ascii_digit())
    });
    Some((digits.map_or(end, |colon| from + colon), end))
}

fn without_port(base: &str) -> Option<String> {
    let (colon, end) = port(base)?;
    Some(format!("{}{}", base.get(..colon)?, base.get(end..)?))
}

fn with_port(base: &str) -> Option<String> {
    let (colon, end) = port(base)?;
    if colon < end {
        return None;
    }
    let is_https = base.get(..6)?.eq_ignore_ascii_case("https:");
    Some(format!("{}:{}{}", base.get(..end)?, if is_https { 443 } else { 80 }, base.get(end..)?))
}

/// The query read and written anew, as Twilio's older products do: what stands unescaped is what JavaScript's
/// `encodeURIComponent` leaves.
fn rewritten(query: &str) -> String {
    let mut text = String::with_capacity(query.len());
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        if !text.is_empty() {
            text.push('&');
        }
        push_escaped(&name, &mut text);
        text.push('=');
        push_escaped(&value, &mut text);
    }
    text
}

fn push_escaped(part: &str, text: &mut String) {
    for b in part.bytes() {
        if b.is_ascii_alphanumeric() || b"-_.!~*'()".contains(&b) {
            text.push(char::from(b));
        } else {
            text.push_str(&format!("%{b:02X}"));
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_url_has_each_of_its_forms_once() {
        for (url, forms) in [
            ("https://a.example/x", &["https://a.example/x", "https://a.example:443/x"][..]),
            ("http://a.example", &["http://a.example", "http://a.example:80"]),
            ("https://a.example:8443//x", &["https://a.example:8443//x", "https://a.example//x"]),
            ("http://[::1]:80/x", &["http://[::1]:80/x", "http://[::1]/x"]),
            ("http://u:9@A.example/x", &["http://u:9@A.example/x", "http://u:9@A.example:80/x"]),
            ("no url", &["no url"]),
            ("", &[""]),
            (
                "https://a:1/?b='c d",
                &[
                    "https://a:1/?b='c d",
                    "https://a:1/?b=%27c d",
                    "https://a:1/?b='c%20d",
                    "https://a/?b='c d",
                    "https://a/?b=%27c d",
                    "https://a/?b='c%20d",
                ],
            ),
        ] {
            assert_eq!(url_forms(url), forms, "{url}");
        }
    }

    #[test]
    fn a_body_that_is_no_form_is_covered_by_its_hash() {
        let token = SecretString::from("12345");
        let body = br#"{"property": "value", "boolean": true}"#;
        let url = format!("https://a.example/x?bodySHA256={}", hex(&Sha256::digest(body)));
        let signature = sign(&token, &url, &[]);
        assert!(is_body_signed(&token, &signature, &url, body));
        assert!(!is_body_signed(&token, &signature, &url, b"{}"), "another body");
        assert!(!is_body_signed(&SecretString::from("12346"), &signature, &url, body), "another token");
        let bare = sign(&token, "https://a.example/x", &[]);
        assert!(!is_body_signed(&token, &bare, "https://a.example/x", body), "no hash");
    }

    proptest! {
        #[test]
        fn any_url_has_few_forms_and_is_the_first_of_them(url in "(https?://)?\\PC{0,60}") {
            let forms = url_forms(&url);
            prop_assert!(forms.len() <= 12);
            prop_assert_eq!(&forms[0], &url);
        }
    }

    #[test]
    fn a_signature_is_never_a_part_of_one() {
        let token = SecretString::from("12345");
        let signature = sign(&token, "https://a.example/", &[]);
        assert!(is_signed(&token, &signature, "https://a.example/", &[]));
        for bad in ["", &signature[..27], &format!("{signature}=")] {
            assert!(!is_signed(&token, bad, "https://a.example/", &[]), "{bad}");
        }
    }
}
