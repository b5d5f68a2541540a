use super::*;

fn text(source: &str) -> String {
    production(source).text
}

fn skeleton(source: &str) -> String {
    production(source).skeleton
}

#[test]
fn comments_are_blank_and_lines_stay_where_they_were() {
    let source = "/// twitch\nfn a() {} // twitch\n/* twitch /* nested */ twitch\n*/ fn b() {}\n";
    let seen = text(source);
    assert!(!seen.contains("twitch"), "{seen}");
    assert_eq!(seen.len(), source.len());
    assert_eq!(seen.lines().position(|line| line.contains("fn b")), Some(3));
}

#[test]
fn literals_stay_in_the_text_and_not_in_the_skeleton() {
    for literal in [
        r#""twitch""#,
        r#""a \" twitch""#,
        r##"r"twitch""##,
        r###"r#"a " twitch"#"###,
        r#"b"twitch""#,
        r##"br"twitch""##,
    ] {
        let source = format!("let x = {literal}; let after = 1;");
        assert!(text(&source).contains("twitch"), "{source}");
        assert!(!skeleton(&source).contains("twitch"), "{source}");
        assert!(skeleton(&source).contains("let after = 1;"), "{source}");
    }
}

#[test]
fn what_looks_like_a_comment_in_a_literal_is_none() {
    assert!(text(r#"let url = "irc://twitch"; let after = 1;"#).contains("twitch"));
    assert!(text("let a = '\"'; // twitch\nlet b = '\\''; let c = '\"';").contains("let c"));
    assert!(!text("let a = '\"'; // twitch\n").contains("twitch"));
}

#[test]
fn a_lifetime_is_no_literal() {
    let source = "fn a<'a>(x: &'a str) -> &'a str { x } // twitch";
    assert!(skeleton(source).contains("-> &'a str { x }"));
    assert!(!text(source).contains("twitch"));
}

#[test]
fn an_identifier_that_ends_in_r_before_a_string_is_no_raw_string() {
    let source = r#"expr!(for"x\"", twitch)"#;
    assert!(skeleton(source).contains("twitch"), "{}", skeleton(source));
}

#[test]
fn a_test_module_is_blank_to_its_own_end_and_what_follows_is_not() {
    let source =
        "fn a() {}\n#[cfg(test)]\nmod tests {\n fn t() { let _ = \"}\"; twitch() }\n}\nfn discord() {}\n";
    let seen = text(source);
    assert!(!seen.contains("twitch"), "{seen}");
    assert!(seen.contains("fn discord"), "{seen}");
}

#[test]
fn a_test_item_that_ends_in_a_semicolon_is_blank_to_there() {
    let seen = text("#[cfg(test)]\nuse crate::twitch;\nuse crate::discord;\n");
    assert!(!seen.contains("twitch") && seen.contains("discord"), "{seen}");
}

#[test]
fn code_that_tests_and_a_feature_share_is_production() {
    assert!(text("#[cfg(any(test, feature = \"x\"))]\nmod twitch {}").contains("twitch"));
}

#[test]
fn names_in_other_scripts_do_not_break_it() {
    assert_eq!(text("let ж = \"ж\"; // ж\nlet é = 'é';"), "let ж = \"ж\";      \nlet é = 'é';");
}

#[test]
fn modules_and_folders_of_tests_are_not_production_files() {
    let package = tempfile::tempdir().expect("a folder");
    let write = |name: &str, source: &str| {
        let path = package.path().join("src").join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("the folder is made");
        fs::write(path, source).expect("the file is made");
    };
    write("lib.rs", "mod a;\n#[cfg(test)]\nmod samples;\n");
    write("samples.rs", "");
    write("a.rs", "#[cfg(test)]\nmod help;\n#[cfg(test)]\nmod tests;\n");
    write("a/help.rs", "");
    write("a/help/more.rs", "");
    write("a/tests.rs", "");
    write("a/tests/more.rs", "");
    write("a/real.rs", "");
    let files = production_files(package.path()).expect("the files are read");
    let names: Vec<_> =
        files.iter().map(|file| file.strip_prefix(package.path()).expect("below it")).collect();
    assert_eq!(names, [Path::new("src/a/real.rs"), Path::new("src/a.rs"), Path::new("src/lib.rs")]);
}
