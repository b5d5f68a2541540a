use std::sync::Arc;

use chatbus_event_router::PolicyBook;
use chatbus_routing::{Asked, Verdict};

use crate::{now, write};

fn decides(book: &PolicyBook) -> Verdict {
    let policy: Arc<_> = book.policy().borrow().clone();
    policy.decide(&Asked { text: "spam", ..Asked::default() })
}

#[tokio::test]
async fn a_policy_is_read_again_and_a_broken_one_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("policy.yaml");
    write(&file, "- { id: a, when: true, then: deny }");
    let book = PolicyBook::open(file.clone(), now()).await.unwrap();
    assert_eq!(decides(&book), Verdict::Deny { rule: "a".into() });
    write(&file, "- { id: a, when: true, then: maybe }");
    book.refresh(now()).await;
    assert_eq!(decides(&book), Verdict::Deny { rule: "a".into() });
    assert!(!book.status().is_well());
    std::fs::remove_file(&file).unwrap();
    book.refresh(now()).await;
    assert_eq!(decides(&book), Verdict::Deny { rule: "a".into() });
    write(&file, "- { id: b, when: true, then: { replace: x } }");
    book.refresh(now()).await;
    assert_eq!(decides(&book), Verdict::Replace { rule: "b".into(), text: "x".into() });
    assert!(book.status().is_well());
}

#[tokio::test]
async fn who_asks_for_a_policy_does_not_go_on_without_one() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("policy.yaml");
    assert!(PolicyBook::open(file.clone(), now()).await.is_err());
    write(&file, "- { when: { nope: 1 }, then: deny }");
    let problems = PolicyBook::open(file, now()).await.map(|_| ()).unwrap_err();
    assert!(problems[0].contains("unknown operator"), "{problems:?}");
}
