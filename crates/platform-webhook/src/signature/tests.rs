//! Signatures against the specification's own example, and against whoever has not the secret.

use super::*;

/// The example of the specification's reference libraries.
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const EXAMPLE_ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
const EXAMPLE_AT: i64 = 1_614_265_330;
const EXAMPLE_BODY: &[u8] = br#"{"test": 2432232314}"#;
const EXAMPLE_SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
const OTHER: &str = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds * 1_000)
}

fn keys() -> Keys {
    Keys::parse(SECRET).unwrap()
}

fn verify_with(keys: &Keys, headers: [&str; 3], body: &[u8], now: i64) -> Result<(), Unproved> {
    let names = [ID, TIMESTAMP, SIGNATURE];
    let find = |name: &str| {
        let at = names.iter().position(|known| *known == name)?;
        Some(headers[at].to_owned()).filter(|value| value != "absent")
    };
    keys.verify(find, body, at(now))
}

fn verify(headers: [&str; 3], body: &[u8], now: i64) -> Result<(), Unproved> {
    verify_with(&keys(), headers, body, now)
}

#[test]
fn the_specifications_example_is_signed_and_believed() {
    assert_eq!(keys().sign(EXAMPLE_ID, at(EXAMPLE_AT), EXAMPLE_BODY), EXAMPLE_SIGNATURE);
    let timestamp = EXAMPLE_AT.to_string();
    let headers = [EXAMPLE_ID, &timestamp, EXAMPLE_SIGNATURE];
    assert_eq!(verify(headers, EXAMPLE_BODY, EXAMPLE_AT), Ok(()));
}

#[test]
fn whatever_is_changed_or_left_out_is_not_believed() {
    let good = [EXAMPLE_ID, "1614265330", EXAMPLE_SIGNATURE];
    let with = |at: usize, value| {
        let mut headers = good;
        headers[at] = value;
        headers
    };
    let long = "x".repeat(257);
    let many = format!("{}{EXAMPLE_SIGNATURE}", "v1,AAAA ".repeat(16));
    for (headers, body, expected) in [
        (with(0, "absent"), EXAMPLE_BODY, Unproved::NoProof),
        (with(0, ""), EXAMPLE_BODY, Unproved::NoProof),
        (with(0, &long), EXAMPLE_BODY, Unproved::NoProof),
        (with(1, "absent"), EXAMPLE_BODY, Unproved::NoProof),
        (with(2, "absent"), EXAMPLE_BODY, Unproved::NoProof),
        (with(2, " "), EXAMPLE_BODY, Unproved::NoProof),
        (with(1, "yesterday"), EXAMPLE_BODY, Unproved::BadTimestamp),
        (with(1, "16142653300000000000000"), EXAMPLE_BODY, Unproved::BadTimestamp),
        (with(1, "-9223372036854775808"), EXAMPLE_BODY, Unproved::NotNow),
        (with(0, "msg_other"), EXAMPLE_BODY, Unproved::BadSignature),
        (with(1, "1614265331"), EXAMPLE_BODY, Unproved::BadSignature),
        (with(1, "01614265330"), EXAMPLE_BODY, Unproved::BadSignature),
        (good, br#"{"test": 2432232315}"#, Unproved::BadSignature),
        (good, b"", Unproved::BadSignature),
        (with(2, &EXAMPLE_SIGNATURE[3..]), EXAMPLE_BODY, Unproved::BadSignature),
        (with(2, "v1,"), EXAMPLE_BODY, Unproved::BadSignature),
        (with(2, "v1,g0hM9SsE"), EXAMPLE_BODY, Unproved::BadSignature),
        (with(2, "v1a,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="), EXAMPLE_BODY, Unproved::BadSignature),
        (with(2, "v2,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="), EXAMPLE_BODY, Unproved::BadSignature),
        (with(2, &many), EXAMPLE_BODY, Unproved::BadSignature),
    ] {
        assert_eq!(verify(headers, body, EXAMPLE_AT), Err(expected), "{headers:?}");
    }
}

#[test]
fn a_message_is_believed_for_five_minutes_and_clocks_may_differ_by_as_much() {
    for (now, expected) in [
        (EXAMPLE_AT - 301, Err(Unproved::NotNow)),
        (EXAMPLE_AT - 300, Ok(())),
        (EXAMPLE_AT + 300, Ok(())),
        (EXAMPLE_AT + 301, Err(Unproved::NotNow)),
    ] {
        let headers = [EXAMPLE_ID, "1614265330", EXAMPLE_SIGNATURE];
        assert_eq!(verify(headers, EXAMPLE_BODY, now), expected, "{now}");
    }
}

#[test]
fn while_a_secret_changes_both_are_good_and_afterwards_one() {
    let (old, new) = (keys(), Keys::parse(OTHER).unwrap());
    let both = new.clone().with_previous(SECRET).unwrap();
    let sign = |keys: &Keys| keys.sign("id", at(EXAMPLE_AT), b"{}");
    let is_good = |keys: &Keys, signature: &str| {
        verify_with(keys, ["id", "1614265330", signature], b"{}", EXAMPLE_AT).is_ok()
    };
    assert!(is_good(&both, &sign(&old)) && is_good(&both, &sign(&new)));
    assert!(is_good(&old, &sign(&both)) && is_good(&new, &sign(&both)), "both sign what goes out");
    assert!(!is_good(&new, &sign(&old)));
}

#[test]
fn a_secret_is_long_enough_and_is_never_shown() {
    for bad in [
        "",
        "whsec_",
        "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2La",
        "whsec_not base64 not base64 not base64",
        &format!("whsec_{}", STANDARD.encode([7; 65])),
    ] {
        assert_eq!(Keys::parse(bad).map(drop), Err(InvalidSecret), "{bad:?}");
    }
    assert!(Keys::parse(&format!("whsec_{}", STANDARD.encode([7; 64]))).is_ok());
    let shown = format!("{:?} {InvalidSecret}", keys().with_previous(OTHER).unwrap());
    assert!(!shown.contains("242") && !shown.contains("MfKQ"), "{shown}");
}
