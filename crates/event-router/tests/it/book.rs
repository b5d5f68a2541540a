use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use chatbus_event_router::{BookStatus, RuleBook, RuleBookConfig};
use chatbus_routing::DefaultRules;
use chatbus_store::{DocumentKind, Documents as _};
use chatbus_testkit::test_runtime;
use tokio::time::timeout;

use crate::documents::InMemory;
use crate::{DEADLINE, now, write};

fn book(path: Option<PathBuf>, documents: Option<Arc<InMemory>>) -> Arc<RuleBook> {
    let documents = documents.map(|documents| documents as Arc<_>);
    let defaults = DefaultRules { bot_name: Some("bot".into()), has_llm: true, commands: vec![] };
    Arc::new(RuleBook::new(RuleBookConfig { path, documents, defaults, known_topics: vec![] }))
}

fn ids(book: &RuleBook) -> Vec<String> {
    let rules = book.rules().borrow().clone();
    let written = rules.rules().filter(|rule| !rule.id.starts_with("default-"));
    written.map(|rule| rule.id.clone()).collect()
}

fn problems(status: &BookStatus) -> Vec<String> {
    status.sources.iter().flat_map(|source| source.problems.clone()).collect()
}

#[tokio::test]
async fn the_default_rules_are_there_before_anything_is_read() {
    let book = book(None, None);
    assert_eq!(book.rules().borrow().len(), 6);
    assert!(!book.status().loaded && !book.status().is_well());
    book.refresh(now()).await;
    assert!(book.status().is_well());
    assert_eq!((book.status().rules, book.rules().borrow().len()), (6, 6));
}

#[tokio::test]
async fn files_of_a_folder_are_read_again_when_they_change_and_forgotten_when_they_go() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    write(&at("one.yaml"), "logic: true");
    write(&at("two.json"), r#"{"rules":[{"id":"b","logic":true},{"id":"c","logic":false}]}"#);
    write(&at(".hidden.yaml"), "broken: [");
    write(&at("notes.txt"), "broken: [");
    std::fs::create_dir(at("deeper.yaml")).unwrap();
    let book = book(Some(folder.path().to_owned()), None);
    book.refresh(now()).await;
    assert_eq!(ids(&book), ["b", "c", "one"]);
    assert!(book.status().is_well());
    write(&at("one.yaml"), "- { id: x, logic: true }");
    book.refresh(now()).await;
    assert_eq!(ids(&book), ["b", "c", "x"]);
    std::fs::remove_file(at("two.json")).unwrap();
    book.refresh(now()).await;
    assert_eq!(ids(&book), ["x"]);
}

#[tokio::test]
async fn a_broken_file_leaves_in_force_what_stood_in_it_before_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.yaml");
    write(&file, "- { id: x, logic: true }");
    write(&folder.path().join("b.yaml"), "- { id: y, logic: true }");
    let book = book(Some(folder.path().to_owned()), None);
    book.refresh(now()).await;
    write(&file, "- { id: z, logic: { nope: 1 } }");
    write(&folder.path().join("b.yaml"), "- { id: w, logic: true }");
    book.refresh(now()).await;
    assert_eq!(ids(&book), ["w", "x"]);
    let status = book.status();
    assert!(!status.is_well());
    assert_eq!(problems(&status), [r#"a.yaml: rule "z": logic.nope: unknown operator "nope""#]);
    assert_eq!((status.sources[0].rules, status.sources[0].loaded_at), (1, Some(now())));
    write(&file, "- { id: z, logic: true }");
    book.refresh(now()).await;
    assert_eq!(ids(&book), ["w", "z"]);
    assert!(book.status().is_well());
}

#[tokio::test]
async fn a_folder_that_goes_away_leaves_its_rules_in_force() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rules");
    std::fs::create_dir(&path).unwrap();
    write(&path.join("a.yaml"), "logic: true");
    let book = book(Some(path.clone()), None);
    book.refresh(now()).await;
    std::fs::remove_dir_all(&path).unwrap();
    book.refresh(now()).await;
    assert_eq!(ids(&book), ["a"]);
    assert_eq!(problems(&book.status()).len(), 1);
}

#[tokio::test]
async fn what_is_too_long_is_refused_without_being_read_whole() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.yaml");
    write(&file, &" ".repeat(1024 * 1024 + 1));
    let book = book(Some(file), None);
    book.refresh(now()).await;
    assert_eq!(problems(&book.status()), ["a.yaml: over 1048576 bytes"]);
}

#[tokio::test]
async fn rules_of_the_store_count_before_those_of_files_and_are_read_only_when_they_changed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.yaml");
    write(&file, "[{ id: x, priority: 1, logic: true }, { id: y, priority: 1, logic: true }]");
    let store = Arc::new(InMemory::default());
    store.put("x", r#"{"priority":7,"logic":"{\"==\":[1,1]}"}"#).await;
    let book = book(Some(file), Some(store.clone()));
    book.refresh(now()).await;
    book.refresh(now()).await;
    assert_eq!(store.reads.load(Ordering::SeqCst), 1);
    assert_eq!(ids(&book), ["y", "x"]);
    store.put("x", "{").await;
    book.refresh(now()).await;
    assert_eq!(ids(&book), ["y", "x"]);
    assert!(problems(&book.status())[0].starts_with("store/x: "));
    store.remove_document(DocumentKind::Rule, "x").await.unwrap();
    book.refresh(now()).await;
    assert_eq!(ids(&book), ["x", "y"]);
    assert!(book.status().is_well());
}

#[tokio::test]
async fn a_store_that_is_away_leaves_its_rules_in_force() {
    let store = Arc::new(InMemory::default());
    store.put("x", r#"{"logic":true}"#).await;
    let book = book(None, Some(store.clone()));
    book.refresh(now()).await;
    store.is_away.store(true, Ordering::SeqCst);
    book.refresh(now()).await;
    assert_eq!(
        (ids(&book), problems(&book.status())),
        (vec!["x".to_owned()], vec!["the store is away".to_owned()])
    );
    store.is_away.store(false, Ordering::SeqCst);
    book.refresh(now()).await;
    assert!(book.status().is_well());
}

#[tokio::test]
async fn commands_of_other_rules_are_listed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("hug.yaml");
    write(&file, "{ logic: false, metadata: { command: '!hug' } }");
    let book = book(Some(file), None);
    book.refresh(now()).await;
    let rules = book.rules().borrow().clone();
    let help = rules.rules().find(|rule| rule.id == "default-help").unwrap();
    assert_eq!(help.metadata["commands"], "!help !ping !hug");
}

#[tokio::test(start_paused = true)]
async fn changes_are_seen_by_themselves() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.yaml");
    write(&file, "- { id: x, logic: true }");
    let runtime = test_runtime(1);
    let book = book(Some(file.clone()), None);
    let mut rules = book.rules();
    runtime.spawn("rules", book.clone().run(runtime.clone()));
    let holds =
        |id: &'static str| move |rules: &chatbus_routing::RuleSet| rules.rules().any(|rule| rule.id == id);
    timeout(DEADLINE, rules.wait_for(holds("x"))).await.unwrap().unwrap();
    write(&file, "- { id: y, logic: true }");
    timeout(DEADLINE, rules.wait_for(holds("y"))).await.unwrap().unwrap();
    runtime.stop.cancel();
}
