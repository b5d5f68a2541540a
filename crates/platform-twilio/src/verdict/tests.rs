use super::*;

/// Written out again, so that a row that changes is seen to.
const EXPECTED: &[(&str, &[u32])] = &[
    ("retry", &[20429, 21611, 30001, 30017, 30022, 63018]),
    ("reauth", &[20003, 20005, 30002]),
    ("no recipient", &[21211, 21214, 21217, 21401, 21421, 21604, 21614, 63003, 63024]),
    ("too long", &[21605, 21617]),
    ("opted out", &[21610]),
    ("unverified", &[30410]),
    (
        "rejected",
        &[
            20404, 21212, 21408, 21602, 21603, 21606, 21608, 21612, 21619, 21703, 21910, 30003, 30004, 30005,
            30006, 30007, 30008, 30010, 30018, 30019, 30023, 30024, 30032, 30034, 50430, 63005, 63007, 63016,
        ],
    ),
];

fn name(class: Class) -> &'static str {
    match class {
        Retry(_) => "retry",
        Reauth => "reauth",
        Permanent(NoRecipient) => "no recipient",
        Permanent(_) => "rejected",
        TooLong => "too long",
        OptedOut => "opted out",
        Unverified => "unverified",
    }
}

#[test]
fn each_code_has_its_class_however_it_comes() {
    let mut seen = 0;
    for (class, codes) in EXPECTED {
        for code in *codes {
            seen += 1;
            let answer = Refusal::of_answer(400, Some(*code), "", None);
            let status = Refusal::of_status("failed", Some(*code));
            for refusal in [answer, status] {
                assert_eq!(name(refusal.class), *class, "{code}");
                assert_eq!(refusal.code, code.to_string());
                assert!(refusal.is_known && !refusal.message.is_empty(), "{code}");
            }
        }
    }
    assert_eq!(seen, TABLE.len(), "no row is left out");
}

#[test]
fn where_the_status_decides_the_code_does_not() {
    for (status, code, class) in [
        (429, None, "retry"),
        (429, Some(1), "retry"),
        (429, Some(21211), "retry"),
        (500, Some(20500), "unverified"),
        (503, Some(20429), "unverified"),
        (401, None, "reauth"),
        (400, None, "rejected"),
        (404, Some(20404), "rejected"),
        (400, Some(99_999), "rejected"),
        (302, None, "rejected"),
    ] {
        assert_eq!(name(Refusal::of_answer(status, code, "", None).class), class, "{status} {code:?}");
    }
    let after = Some(Duration::from_secs(7));
    assert_eq!(Refusal::of_answer(429, Some(20429), "", after).class, Retry(Duration::from_secs(7)));
}

#[test]
fn what_the_table_does_not_have_is_final_and_told_apart() {
    let unknown = Refusal::of_answer(400, Some(99_999), "to +15005550010", None);
    assert!(!unknown.is_known);
    assert_eq!((&*unknown.code, &*unknown.message), ("99999", "to …0010"));
    assert_eq!(Refusal::of_answer(418, None, "", None).code, "http_418");
    let failed = Refusal::of_status("undelivered", None);
    assert_eq!((&*failed.code, failed.class, failed.is_known), ("undelivered", Permanent(Rejected), false));
}

#[test]
fn a_verdict_names_the_parts_that_went_out() {
    let verdict = Refusal::of_answer(400, Some(21610), "no", None).verdict(" (parts 1 to 2 of 3 went out)");
    let Verdict::Permanent { reason, code, message } = verdict else { panic!("{verdict:?}") };
    assert_eq!((reason, &*code, &*message), (Rejected, "21610", "no (parts 1 to 2 of 3 went out)"));
}
