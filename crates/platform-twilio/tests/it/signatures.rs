//! Signatures as the test suites of Twilio's own libraries have them.

use chatbus_platform_twilio::form;
use chatbus_platform_twilio::signature::{Param, is_body_signed, is_signed, sign};
use secrecy::SecretString;
use serde_json::Value;

use crate::corpus::files;

fn text<'a>(row: &'a Value, key: &str) -> &'a str {
    row[key].as_str().unwrap()
}

fn params(row: &Value) -> Vec<Param> {
    let pairs = row["params"].as_array().unwrap().iter();
    let bytes = |value: &Value| value.as_str().unwrap().as_bytes().to_vec();
    pairs.map(|pair| (bytes(&pair[0]), bytes(&pair[1]))).collect()
}

#[test]
fn every_signature_of_the_corpus_is_good_or_bad_as_it_says() {
    let rows = files("signature");
    for (name, row) in &rows {
        let (url, signature) = (text(row, "url"), text(row, "signature"));
        let token = SecretString::from(text(row, "auth_token"));
        let is_good = match row["body"].as_str() {
            None => is_signed(&token, signature, url, &params(row)),
            Some(body) => is_body_signed(&token, signature, url, body.as_bytes()),
        };
        assert_eq!(is_good, row["expected_valid"].as_bool().unwrap(), "{name}: {}", row["note"]);
        // Nothing is good by chance: with another token, parameter, or path it is not.
        assert!(!is_signed(&SecretString::from("other"), signature, url, &params(row)), "{name}");
        let mut more = params(row);
        more.push((b"Added".to_vec(), b"1".to_vec()));
        assert!(!is_signed(&token, signature, url, &more), "{name}");
        assert!(!is_signed(&token, signature, &format!("{url}x"), &params(row)), "{name}");
    }
    println!("{} signatures", rows.len());
}

#[test]
fn every_form_of_the_corpus_decodes_to_what_was_signed() {
    let rows = files("forms");
    for (name, row) in &rows {
        let decoded = form::params(text(row, "body_raw").as_bytes());
        let token = SecretString::from(text(row, "auth_token"));
        let (url, signature) = (text(row, "url"), text(row, "signature"));
        assert_eq!(form::replaced(&decoded), params(row), "{name}");
        assert!(is_signed(&token, signature, url, &form::replaced(&decoded)), "{name}");
        assert_eq!(sign(&token, url, &params(row)), signature, "{name}");
    }
    println!("{} forms", rows.len());
}
