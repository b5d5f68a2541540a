use std::sync::Mutex as StdMutex;

use async_trait::async_trait;
use chatbus_event::Timestamp;
use chatbus_store::StoreErrorKind;
use chatbus_testkit::FakeClock;

use super::*;

/// Documents in memory, that count how often they were read and can be out of reach.
#[derive(Default)]
struct Stored(StdMutex<Inner>);

#[derive(Default)]
struct Inner {
    documents: Vec<Document>,
    version: u64,
    reads: usize,
    down: bool,
}

impl Stored {
    fn put(&self, name: &str, json: &str) {
        let mut inner = self.0.lock().unwrap();
        inner.documents.retain(|document| document.name != name);
        inner.documents.push(Document {
            kind: DocumentKind::Personality,
            name: name.into(),
            body: json.to_owned().into(),
            updated_at: Timestamp::EPOCH,
        });
        inner.version += 1;
    }

    fn reads(&self) -> usize {
        self.0.lock().unwrap().reads
    }

    fn set_down(&self, down: bool) {
        self.0.lock().unwrap().down = down;
    }
}

#[async_trait]
impl Documents for Stored {
    async fn documents_version(&self, _: DocumentKind) -> Result<u64, StoreError> {
        let inner = self.0.lock().unwrap();
        if inner.down {
            return Err(StoreError::new(StoreErrorKind::Unavailable, "down"));
        }
        Ok(inner.version)
    }

    async fn documents(&self, _: DocumentKind) -> Result<Vec<Document>, StoreError> {
        let mut inner = self.0.lock().unwrap();
        inner.reads += 1;
        Ok(inner.documents.clone())
    }

    async fn put_document(&self, _: &Document) -> Result<(), StoreError> {
        unreachable!("nobody writes here")
    }

    async fn remove_document(&self, _: DocumentKind, _: &str) -> Result<bool, StoreError> {
        unreachable!("nobody writes here")
    }
}

struct Rig {
    stored: Arc<Stored>,
    clock: FakeClock,
    counters: Arc<Counters>,
    library: Library,
}

impl Rig {
    fn new(config: &PersonalityConfig) -> Self {
        let (stored, clock) = (Arc::new(Stored::default()), FakeClock::at(Timestamp::EPOCH));
        let counters = Arc::<Counters>::default();
        let documents: Arc<dyn Documents> = Arc::<Stored>::clone(&stored);
        let library = Library::new(config, Some(documents), Arc::new(clock.clone()), Arc::clone(&counters));
        Self { stored, clock, counters, library }
    }

    async fn named(&self, name: &str) -> Vec<String> {
        self.library.texts(&[Wish::Named(name.into())]).await
    }
}

#[tokio::test]
async fn the_active_one_with_the_highest_version_is_found_by_its_name() {
    let rig = Rig::new(&PersonalityConfig::default());
    rig.stored.put("pirate@1", r#"{"name":"pirate","text":"one","status":"active","version":1}"#);
    rig.stored.put("pirate@2", r#"{"name":"pirate","text":"two","status":"active","version":2}"#);
    rig.stored.put("pirate@3", r#"{"name":"pirate","text":"three","status":"draft","version":3}"#);
    assert_eq!(rig.named("pirate").await, ["two"]);
}

#[tokio::test]
async fn what_is_missing_inactive_or_no_personality_is_skipped_and_counted() {
    let rig = Rig::new(&PersonalityConfig::default());
    rig.stored.put("off", r#"{"name":"off","text":"x","status":"inactive"}"#);
    rig.stored.put("bad", "no json");
    rig.stored.put("good", r#"{"text":"good"}"#);
    for name in ["off", "bad", "unheard-of", "../good", ""] {
        assert!(rig.named(name).await.is_empty(), "{name}");
    }
    assert_eq!(rig.named("good").await, ["good"]);
    let counts = rig.counters.read();
    assert_eq!((counts.personalities_missing, counts.personalities_resolved), (5, 1));
}

#[tokio::test]
async fn the_store_is_read_once_until_it_changed_and_its_time_is_over() {
    let rig = Rig::new(&PersonalityConfig { ttl: Duration::from_secs(5), ..PersonalityConfig::default() });
    rig.stored.put("a", r#"{"text":"old"}"#);
    assert_eq!((rig.named("a").await, rig.named("a").await), (vec!["old".into()], vec!["old".into()]));
    rig.stored.put("a", r#"{"text":"new"}"#);
    assert_eq!((rig.named("a").await, rig.stored.reads()), (vec!["old".into()], 1));
    rig.clock.advance(Duration::from_secs(5));
    assert_eq!((rig.named("a").await, rig.stored.reads()), (vec!["new".into()], 2));
    rig.clock.advance(Duration::from_secs(5));
    assert_eq!((rig.named("a").await, rig.stored.reads()), (vec!["new".into()], 2), "nothing changed");
    let counts = rig.counters.read();
    assert_eq!((counts.personality_cache_hits, counts.personality_cache_misses), (2, 3));
}

#[tokio::test]
async fn what_is_known_counts_on_while_the_store_is_out_of_reach() {
    let rig = Rig::new(&PersonalityConfig::default());
    rig.stored.put("a", r#"{"text":"A"}"#);
    assert_eq!(rig.named("a").await, ["A"]);
    rig.stored.set_down(true);
    rig.clock.advance(Duration::from_secs(60));
    assert_eq!(rig.named("a").await, ["A"]);
    rig.stored.set_down(false);
    rig.stored.put("a", r#"{"text":"B"}"#);
    rig.clock.advance(Duration::from_secs(60));
    assert_eq!(rig.named("a").await, ["B"]);
}

#[tokio::test]
async fn files_and_store_are_one_library_and_the_stored_one_of_two_equals_counts() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("all.yaml");
    std::fs::write(&file, "- {name: both, text: file}\n- {name: newer, text: file, version: 2}\n").unwrap();
    let rig = Rig::new(&PersonalityConfig { paths: vec![file], ..PersonalityConfig::default() });
    rig.stored.put("both", r#"{"text":"store"}"#);
    rig.stored.put("newer", r#"{"text":"store","version":1}"#);
    assert_eq!(
        (rig.named("both").await, rig.named("newer").await),
        (vec!["store".into()], vec!["file".into()])
    );
}

#[tokio::test]
async fn of_too_many_wishes_the_rest_is_dropped_and_long_texts_are_cut_and_both_are_counted() {
    let rig = Rig::new(&PersonalityConfig { max: 2, max_chars: 3, ..PersonalityConfig::default() });
    let wishes: Vec<Wish> = (1..=5).map(|n| Wish::Inline(format!("{n}üüü"))).collect();
    assert_eq!(rig.library.texts(&wishes).await, ["1üü", "2üü"]);
    let counts = rig.counters.read();
    assert_eq!(
        (counts.personalities_resolved, counts.personalities_cut, counts.personalities_dropped),
        (2, 2, 3)
    );
    assert_eq!(rig.stored.reads(), 0, "inline texts ask nobody");
    rig.stored.put("long", r#"{"text":"long text"}"#);
    assert_eq!(rig.named("long").await, ["lon"]);
    assert_eq!(rig.counters.read().personalities_cut, 3);
}

#[tokio::test]
async fn inline_and_looked_up_texts_keep_the_order_of_the_wishes() {
    let rig = Rig::new(&PersonalityConfig::default());
    rig.stored.put("b", r#"{"text":"stored"}"#);
    let wishes = [Wish::Inline("first".into()), Wish::Named("b".into()), Wish::Inline("last".into())];
    assert_eq!(rig.library.texts(&wishes).await, ["first", "stored", "last"]);
}

#[tokio::test]
async fn personalities_can_be_turned_off() {
    let rig = Rig::new(&PersonalityConfig { enabled: false, ..PersonalityConfig::default() });
    assert!(rig.library.texts(&[Wish::Inline("x".into())]).await.is_empty());
}

#[tokio::test]
async fn only_so_many_are_kept() {
    let rig = Rig::new(&PersonalityConfig { kept: 2, ..PersonalityConfig::default() });
    for name in ["c", "a", "b"] {
        rig.stored.put(name, r#"{"text":"x"}"#);
    }
    assert_eq!(
        (rig.named("a").await.len(), rig.named("b").await.len(), rig.named("c").await.len()),
        (1, 1, 0)
    );
}
