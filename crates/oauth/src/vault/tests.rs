use chatbus_event::Timestamp;
use chatbus_testkit::SeededEntropy;
use secrecy::{ExposeSecret as _, SecretString};

use super::*;

fn record() -> Record {
    Record {
        user_id: "1337".to_owned(),
        login: "somebody".to_owned(),
        access_token: SecretString::from("a-secret"),
        refresh_token: Some(SecretString::from("r-secret")),
        expires_at: Some(Timestamp::from_millis(1_700_000_000_000)),
        scopes: vec!["chat:read".to_owned()],
    }
}

fn sealed(vault: &Vault) -> Vec<u8> {
    vault.seal("somewhere", "bot", &record(), &SeededEntropy::new(7))
}

#[test]
fn what_was_sealed_opens_as_it_was() {
    let vault = Vault::new([1; 32], None);
    let opened = vault.open("somewhere", "bot", &sealed(&vault)).unwrap();
    assert!(!opened.stale);
    assert!(opened.record.has_tokens_of(&record()));
    let Record { user_id, login, expires_at, scopes, .. } = opened.record;
    let expected = record();
    assert_eq!(
        (user_id, login, expires_at, scopes),
        (expected.user_id, expected.login, expected.expires_at, expected.scopes)
    );
}

#[test]
fn the_record_is_the_json_of_the_contract() {
    let json = r#"{"userId":"1337","login":"somebody","accessToken":"a-secret","refreshToken":"r-secret","expiresAt":"2023-11-14T22:13:20.000Z","scopes":["chat:read"]}"#;
    assert_eq!(String::from_utf8(record().to_json()).unwrap(), json);
    let without = Record { refresh_token: None, expires_at: None, ..record() };
    let read = Record::from_json(&without.to_json()).unwrap();
    assert!(read.refresh_token.is_none() && read.expires_at.is_none());
}

#[test]
fn a_token_cannot_be_moved_to_another_account() {
    let vault = Vault::new([1; 32], None);
    let sealed = sealed(&vault);
    for (platform, identity) in
        [("somewhere", "broadcaster"), ("elsewhere", "bot"), ("somewher", "ebot"), ("", "")]
    {
        let opened = vault.open(platform, identity, &sealed);
        assert_eq!(opened.unwrap_err(), OpenError::Damaged, "{platform} {identity}");
    }
}

#[test]
fn the_previous_key_opens_and_says_so_and_any_other_does_not() {
    let old = Vault::new([1; 32], None);
    let sealed = sealed(&old);
    let rotated = Vault::new([2; 32], Some([1; 32]));
    let opened = rotated.open("somewhere", "bot", &sealed).unwrap();
    assert!(opened.stale && opened.record.has_tokens_of(&record()));
    let anew = rotated.seal("somewhere", "bot", &opened.record, &SeededEntropy::new(8));
    assert!(!rotated.open("somewhere", "bot", &anew).unwrap().stale);
    let later = Vault::new([2; 32], None);
    assert!(later.open("somewhere", "bot", &anew).is_ok());
    assert_eq!(later.open("somewhere", "bot", &sealed).unwrap_err(), OpenError::UnknownKey);
}

#[test]
fn every_byte_counts() {
    let vault = Vault::new([1; 32], None);
    let good = sealed(&vault);
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1;
        let expected = match at {
            0 => OpenError::UnknownFormat,
            1..HEAD_LEN => OpenError::UnknownKey,
            _ => OpenError::Damaged,
        };
        assert_eq!(vault.open("somewhere", "bot", &bad).unwrap_err(), expected, "byte {at}");
        assert!(vault.open("somewhere", "bot", &good[..at]).is_err(), "cut at {at}");
    }
}

#[test]
fn two_seals_of_one_record_are_different() {
    let (vault, entropy) = (Vault::new([1; 32], None), SeededEntropy::new(7));
    let seal = || vault.seal("somewhere", "bot", &record(), &entropy);
    assert_ne!(seal(), seal());
}

#[test]
fn a_key_is_32_bytes_in_base64() {
    let all_ones = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE";
    for good in [all_ones.to_owned(), format!("{all_ones}="), format!(" {all_ones}=\n")] {
        assert_eq!(secret_key(&good), Ok([1; 32]), "{good}");
    }
    let url_safe = URL_SAFE_NO_PAD.encode([255; 32]);
    assert_eq!(secret_key(&url_safe), Ok([255; 32]));
    for (bad, expected) in [
        ("", SecretKeyError::WrongLength(0)),
        ("AQEB", SecretKeyError::WrongLength(3)),
        ("not a key!", SecretKeyError::NotBase64),
        ("hunter2", SecretKeyError::NotBase64),
    ] {
        let error = secret_key(bad).unwrap_err();
        assert_eq!(error, expected, "{bad:?}");
        assert!(bad.is_empty() || !error.to_string().contains(bad));
    }
}

#[test]
fn nothing_secret_is_in_debug_output() {
    let vault = Vault::new([1; 32], Some([2; 32]));
    let opened = vault.open("somewhere", "bot", &sealed(&vault)).unwrap();
    let shown = format!("{vault:?} {opened:?}");
    assert!(!shown.contains("-secret") && shown.contains("somebody"), "{shown}");
    assert!(!shown.contains("1, 1, 1"), "{shown}");
    assert_eq!(opened.record.access_token.expose_secret(), "a-secret");
}
