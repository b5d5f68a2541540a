use super::*;

const SPECS: [SettingSpec; 5] = [
    SettingSpec::new("PORT", Kind::Integer { min: 0, max: 65535 }, "")
        .default("8080")
        .aliases(&["SERVICE_PORT"]),
    SettingSpec::new("TOKEN", Kind::Secret, ""),
    SettingSpec::new("MODE", Kind::Choice(&["a", "b"]), "").default("a"),
    SettingSpec::new("URLS", Kind::Urls(&["nats", "tls"]), ""),
    SettingSpec::new("ON", Kind::Bool, ""),
];

fn layer(pairs: &[(&str, &str)]) -> Vec<(String, String, Origin)> {
    let environment = |name: &str| Origin::Environment(name.to_owned());
    pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned(), environment(k))).collect()
}

#[test]
fn later_layers_win_and_blank_texts_do_not_count() {
    let (values, problems) = resolve(
        &SPECS,
        &[
            layer(&[("PORT", "1"), ("MODE", "b")]),
            layer(&[("PORT", "2"), ("MODE", " ")]),
            layer(&[("SERVICE_PORT", "3")]),
        ],
    );
    assert_eq!(problems, []);
    assert_eq!(values.integer("PORT"), 3);
    assert_eq!(values.text("MODE"), Some("b"));
    assert!(values.is_set("PORT") && !values.is_set("ON"));
}

#[test]
fn a_setting_s_own_name_wins_over_its_other_names() {
    let (values, _) = resolve(&SPECS, &[layer(&[("SERVICE_PORT", "3"), ("PORT", "2")])]);
    assert_eq!(values.integer("PORT"), 2);
}

#[test]
fn every_problem_is_reported_at_once_and_names_its_setting_and_what_would_be_right() {
    let (_, problems) = resolve(
        &SPECS,
        &[layer(&[
            ("SERVICE_PORT", "70000"),
            ("MODE", "c"),
            ("URLS", "nats://ok:1, http://x"),
            ("ON", "maybe"),
        ])],
    );
    let texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        texts,
        [
            r#"SERVICE_PORT: "70000" (environment SERVICE_PORT) is not valid: use a whole number from 0 to 65535"#,
            r#"MODE: "c" (environment MODE) is not valid: use one of a b"#,
            r#"URLS: "nats://ok:1,http://x" (environment URLS) is not valid: use a URL that begins with nats:// or tls://"#,
            r#"ON: "maybe" (environment ON) is not valid: use one of 1 true yes on, 0 false no off"#,
        ]
    );
}

#[test]
fn a_secret_is_never_shown() {
    let (values, _) =
        resolve(&SPECS, &[layer(&[("TOKEN", "hush"), ("URLS", "nats://me:hush@host:1,tls://hush@b")])]);
    assert_eq!(values.text("TOKEN"), Some("hush"));
    assert!(!format!("{values:?}").contains("hush"));
    assert!(values.masked().all(|(_, shown, _)| !shown.unwrap_or_default().contains("hush")));
    let (_, problems) = resolve(&SPECS, &[layer(&[("URLS", "http://me:hush@host")])]);
    assert!(!problems[0].to_string().contains("hush"), "{}", problems[0]);
}

#[test]
fn a_text_that_is_a_url_is_shown_without_its_password() {
    const SPECS: [SettingSpec; 1] = [SettingSpec::new("WHERE", Kind::Text, "")];
    let (values, problems) = resolve(&SPECS, &[layer(&[("WHERE", "redis://me:hush@host/1")])]);
    assert_eq!(problems, []);
    let shown: Vec<_> = values.masked().filter_map(|(_, shown, _)| shown).collect();
    assert_eq!(shown, ["redis://********@host/1"]);
}

#[test]
fn sizes_lists_and_truth_values_are_read_as_people_write_them() {
    assert_eq!(parse_bytes("1 GiB"), Some(1 << 30));
    assert_eq!(parse_bytes("64kb"), Some(64_000));
    assert_eq!(parse_bytes("99999999999 GiB"), None);
    assert_eq!(parse_bytes("many"), None);
    assert_eq!(parse_list(" #a, b\nc,,"), ["#a", "b", "c"]);
    assert_eq!(parse_bool(" YES "), Some(true));
    assert_eq!(parse_bool("2"), None);
}
