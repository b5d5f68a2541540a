use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use chatbus_event::{MessageId, Timestamp};

use super::*;
use crate::kept::{Kept, Route};
use crate::spool::Read;
use crate::spool::disk::RealDisk;

fn kept(n: u64) -> Kept {
    Kept {
        id: MessageId::new(&format!("m-{n}")),
        attributes: Bytes::new(),
        body: Bytes::from(format!("{n:0>100}")),
        conversation: "#a".into(),
        received_at: Timestamp::EPOCH,
        platform: "other",
        route: Route::Ingress,
    }
}

fn entries(numbers: std::ops::Range<u64>) -> Vec<Entry> {
    numbers.map(|number| Entry { number, kept: kept(number) }).collect()
}

fn open_with(root: &Path, max_bytes: u64, disk: Box<dyn Disk>) -> (Store, Found) {
    Store::open(Folder::own(root, "i").unwrap(), max_bytes, disk, Platforms::default()).unwrap()
}

fn open(root: &Path, max_bytes: u64) -> (Store, Found) {
    open_with(root, max_bytes, Box::new(RealDisk))
}

fn append(store: &mut Store, numbers: std::ops::Range<u64>) -> Report {
    store.run(&Job { append: entries(numbers), ..Job::default() })
}

fn read_all(store: &mut Store, from: u64) -> Vec<u64> {
    let report = store.run(&Job { read: Some(Read { from, max_bytes: usize::MAX }), ..Job::default() });
    assert_eq!(report.error, None);
    report.loaded.iter().map(|entry| entry.number).collect()
}

fn files(root: &Path) -> Vec<std::path::PathBuf> {
    let mut all: Vec<_> = fs::read_dir(root.join("i"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|suffix| suffix == "seg"))
        .collect();
    all.sort();
    all
}

#[test]
fn what_was_appended_is_there_after_the_store_is_opened_again() {
    let root = tempfile::tempdir().unwrap();
    let (mut store, found) = open(root.path(), 1 << 30);
    assert_eq!(found, Found { cursor: 0, next: 0, bytes: 0, torn: 0 });
    assert_eq!(append(&mut store, 0..10).durable, 10);
    assert_eq!(append(&mut store, 10..15).durable, 15);
    assert_eq!(read_all(&mut store, 3), (3..15).collect::<Vec<_>>());
    drop(store);
    let (mut store, found) = open(root.path(), 1 << 30);
    assert_eq!((found.cursor, found.next, found.torn), (0, 15, 0));
    append(&mut store, 15..17);
    assert_eq!(read_all(&mut store, 0), (0..17).collect::<Vec<_>>());
}

#[test]
fn reading_goes_on_where_it_stopped_and_sees_what_is_appended_meanwhile() {
    let root = tempfile::tempdir().unwrap();
    let (mut store, _) = open(root.path(), 1 << 30);
    append(&mut store, 0..10);
    let mut at = 0;
    let mut seen = Vec::new();
    for more in 10..40 {
        append(&mut store, more..more + 1);
        let report = store.run(&Job { read: Some(Read { from: at, max_bytes: 1 }), ..Job::default() });
        seen.extend(report.loaded.iter().map(|entry| entry.number));
        at = report.read_to.unwrap();
    }
    assert_eq!(seen, (0..30).collect::<Vec<_>>());
    assert_eq!(read_all(&mut store, at), (30..40).collect::<Vec<_>>());
    let nothing = store.run(&Job { read: Some(Read { from: 40, max_bytes: 1 }), ..Job::default() });
    assert_eq!((nothing.loaded.len(), nothing.read_to), (0, Some(40)));
}

#[test]
fn files_are_removed_behind_the_cursor_and_numbers_are_never_used_twice() {
    let root = tempfile::tempdir().unwrap();
    let (mut store, _) = open(root.path(), 16 * 1024);
    append(&mut store, 0..60);
    let before = files(root.path()).len();
    assert!(before > 3, "{before} files");
    let report = store.run(&Job { cursor: Some(30), ..Job::default() });
    assert_eq!(report.cursor_written, Some(30));
    assert!(files(root.path()).len() < before && report.oldest <= 30);
    assert_eq!(read_all(&mut store, 30), (30..60).collect::<Vec<_>>());
    let report = store.run(&Job { cursor: Some(60), ..Job::default() });
    assert_eq!((report.bytes, files(root.path()).len()), (0, 0));
    drop(store);
    let (mut store, found) = open(root.path(), 16 * 1024);
    assert_eq!((found.cursor, found.next), (60, 60));
    append(&mut store, 60..61);
    assert_eq!(read_all(&mut store, 60), [60]);
}

#[test]
fn over_its_bound_the_spool_drops_the_oldest_segment() {
    let root = tempfile::tempdir().unwrap();
    let (mut store, _) = open(root.path(), 16 * 1024);
    for n in 0..500 {
        let report = append(&mut store, n..n + 1);
        assert_eq!((report.durable, report.error), (n + 1, None));
        assert!(report.bytes <= 16 * 1024);
    }
    let report = append(&mut store, 500..501);
    assert!(report.oldest > 380 && report.oldest < 420, "{}", report.oldest);
    assert_eq!(read_all(&mut store, 0), (report.oldest..501).collect::<Vec<_>>());
}

#[test]
fn a_bound_below_one_record_still_keeps_the_newest() {
    let root = tempfile::tempdir().unwrap();
    let (mut store, _) = open(root.path(), 1);
    let report = append(&mut store, 0..5);
    assert_eq!((report.oldest, report.durable, report.error), (4, 5, None));
    assert_eq!(read_all(&mut store, 0), [4]);
}

#[test]
fn a_torn_tail_is_cut_and_damage_in_the_middle_is_stepped_over() {
    let root = tempfile::tempdir().unwrap();
    let (mut store, _) = open(root.path(), 1 << 30);
    append(&mut store, 0..10);
    drop(store);
    let path = files(root.path()).remove(0);
    let mut bytes = fs::read(&path).unwrap();
    let torn = bytes.len() - 30;
    bytes.truncate(torn);
    bytes[FILE_HEADER.len() + 60] ^= 0x10;
    fs::write(&path, &bytes).unwrap();
    let (mut store, found) = open(root.path(), 1 << 30);
    assert_eq!(found.next, 9);
    assert!(found.torn > 0);
    let report = store.run(&Job { read: Some(Read { from: 0, max_bytes: usize::MAX }), ..Job::default() });
    assert_eq!(report.loaded.len(), 8, "one of nine is damaged");
    assert_eq!(report.read_to, Some(9));
    append(&mut store, 9..11);
    assert_eq!(read_all(&mut store, 8), [8, 9, 10]);
}

#[test]
fn a_damaged_file_in_the_middle_costs_its_records_and_no_others() {
    let root = tempfile::tempdir().unwrap();
    let (mut store, _) = open(root.path(), 16 * 1024);
    append(&mut store, 0..60);
    drop(store);
    let all = files(root.path());
    let size = fs::metadata(&all[1]).unwrap().len();
    fs::write(&all[1], vec![0xff; usize::try_from(size).unwrap()]).unwrap();
    let (mut store, found) = open(root.path(), 16 * 1024);
    assert_eq!((found.cursor, found.next), (0, 60));
    let report = store.run(&Job { read: Some(Read { from: 0, max_bytes: usize::MAX }), ..Job::default() });
    assert_eq!(report.read_to, Some(60));
    let lost = 60 - report.loaded.len();
    assert!(lost > 3 && lost < 20, "{lost}");
}

#[test]
fn a_file_that_shrinks_under_the_reader_is_an_error_and_no_endless_loop() {
    let root = tempfile::tempdir().unwrap();
    let (mut store, _) = open(root.path(), 1 << 30);
    append(&mut store, 0..10);
    File::options().write(true).open(files(root.path()).remove(0)).unwrap().set_len(0).unwrap();
    let report = store.run(&Job { read: Some(Read { from: 0, max_bytes: usize::MAX }), ..Job::default() });
    assert!(report.error.is_some() && report.read_to.is_none());
}

#[test]
fn a_record_longer_than_a_read_is_read_all_the_same() {
    let root = tempfile::tempdir().unwrap();
    let (mut store, _) = open(root.path(), 1 << 30);
    let mut long = entries(0..3);
    long[1].kept.body = vec![b'x'; 3 * 1024 * 1024].into();
    store.run(&Job { append: long.clone(), ..Job::default() });
    let report = store.run(&Job { read: Some(Read { from: 0, max_bytes: usize::MAX }), ..Job::default() });
    assert_eq!(report.loaded, long);
}

/// A disk with so much room, that fails to sync when told to.
struct Faulty {
    room: Arc<AtomicU64>,
    syncs_to_fail: Arc<AtomicU64>,
}

impl Disk for Faulty {
    fn create(&mut self, path: &Path) -> io::Result<File> {
        RealDisk.create(path)
    }

    fn append(&mut self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        let room = usize::try_from(self.room.load(Ordering::SeqCst)).unwrap();
        let fits = bytes.len().min(room);
        RealDisk.append(file, &bytes[..fits])?;
        self.room.fetch_sub(fits as u64, Ordering::SeqCst);
        if fits < bytes.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn sync(&mut self, file: &File) -> io::Result<()> {
        if self.syncs_to_fail.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok() {
            return Err(io::Error::other("the disk does not answer"));
        }
        RealDisk.sync(file)
    }
}

fn faulty(room: u64) -> (Box<Faulty>, Arc<AtomicU64>, Arc<AtomicU64>) {
    let (room, syncs) = (Arc::new(AtomicU64::new(room)), Arc::new(AtomicU64::new(0)));
    (Box::new(Faulty { room: Arc::clone(&room), syncs_to_fail: Arc::clone(&syncs) }), room, syncs)
}

#[test]
fn a_full_disk_leaves_no_torn_record_and_is_used_again_when_it_has_room() {
    let root = tempfile::tempdir().unwrap();
    let (disk, room, _) = faulty(700);
    let (mut store, _) = open_with(root.path(), 1 << 30, disk);
    let report = append(&mut store, 0..5);
    assert_eq!((report.durable, report.error.is_some()), (0, true));
    room.store(1 << 20, Ordering::SeqCst);
    let report = append(&mut store, 0..5);
    assert_eq!((report.durable, report.error), (5, None));
    assert_eq!(read_all(&mut store, 0), (0..5).collect::<Vec<_>>());
    room.store(100, Ordering::SeqCst);
    assert!(append(&mut store, 5..8).error.is_some());
    drop(store);
    let (mut store, found) = open(root.path(), 1 << 30);
    assert_eq!((found.next, found.torn), (5, 0));
    assert_eq!(read_all(&mut store, 0), (0..5).collect::<Vec<_>>());
}

#[test]
fn on_a_full_disk_the_oldest_segments_make_room() {
    let root = tempfile::tempdir().unwrap();
    let (disk, room, _) = faulty(1 << 20);
    let (mut store, _) = open_with(root.path(), 16 * 1024, disk);
    append(&mut store, 0..60);
    let before = files(root.path()).len();
    room.store(20, Ordering::SeqCst);
    // The fake disk gives no room back, so all but the newest go before it gives up.
    let report = append(&mut store, 60..61);
    assert!(report.error.is_some());
    assert!(files(root.path()).len() < before);
    assert!(report.oldest > 0);
    room.store(1 << 20, Ordering::SeqCst);
    let report = append(&mut store, 60..61);
    assert_eq!((report.durable, report.error), (61, None));
    assert_eq!(read_all(&mut store, 0), (report.oldest..61).collect::<Vec<_>>());
}

#[test]
fn after_a_failed_sync_the_group_is_written_again_to_another_file() {
    let root = tempfile::tempdir().unwrap();
    let (disk, _, syncs) = faulty(1 << 20);
    let (mut store, _) = open_with(root.path(), 1 << 30, disk);
    append(&mut store, 0..5);
    syncs.store(1, Ordering::SeqCst);
    let report = append(&mut store, 5..8);
    assert_eq!((report.durable, report.error.is_some()), (5, true));
    let report = append(&mut store, 5..9);
    assert_eq!((report.durable, report.error), (9, None));
    assert_eq!(files(root.path()).len(), 2);
    syncs.store(1, Ordering::SeqCst);
    store.run(&Job { cursor: Some(9), ..Job::default() });
    assert!(append(&mut store, 9..10).error.is_some());
    assert_eq!(append(&mut store, 9..10).error, None);
    drop(store);
    let (mut store, found) = open(root.path(), 1 << 30);
    assert_eq!((found.cursor, found.next), (9, 10));
    assert_eq!(read_all(&mut store, 9), [9]);
}

#[test]
fn a_folder_that_vanished_is_an_error_of_the_job() {
    let root = tempfile::tempdir().unwrap();
    let (mut store, _) = open(root.path(), 1 << 30);
    fs::remove_dir_all(root.path().join("i")).unwrap();
    assert!(append(&mut store, 0..1).error.is_some());
    assert!(store.run(&Job { cursor: Some(1), ..Job::default() }).error.is_some());
}

/// Set in the child that has a file system of its own.
const FULL_DISK: &str = "CHATBUS_INGRESS_FULL_DISK";

#[expect(
    clippy::disallowed_methods,
    reason = "the only way to tell a re-run test binary that it is the child"
)]
fn full_disk() -> Option<std::path::PathBuf> {
    std::env::var_os(FULL_DISK).map(Into::into)
}

/// A real file system of 256 KiB, in a mount namespace that vanishes with the child.
#[test]
fn a_real_file_system_that_is_full_costs_the_oldest_and_nothing_else() {
    if let Some(root) = full_disk() {
        return fill(&root);
    }
    let root = tempfile::tempdir().unwrap();
    let script = r#"mount -t tmpfs -o size=256k none "$1" || exit 77; exec "$2" --exact "$3" --nocapture"#;
    let name = "spool::store::tests::a_real_file_system_that_is_full_costs_the_oldest_and_nothing_else";
    let ended = std::process::Command::new("unshare")
        .args(["--mount", "--map-root-user", "sh", "-c", script, "sh"])
        .arg(root.path())
        .arg(std::env::current_exe().unwrap())
        .arg(name)
        .env(FULL_DISK, root.path())
        .status();
    match ended.map(|status| status.code()) {
        Ok(Some(77 | 1)) | Err(_) => println!("this machine lets nobody mount; the injected disk has to do"),
        Ok(code) => assert_eq!(code, Some(0)),
    }
}

fn fill(root: &Path) {
    let (mut store, _) = open(root, 1 << 20);
    for n in 0..4_000 {
        let report = append(&mut store, n..n + 1);
        assert_eq!((report.durable, report.error), (n + 1, None));
    }
    let report = append(&mut store, 4_000..4_001);
    assert!(report.bytes <= 256 * 1024 && report.oldest > 2_000, "{} {}", report.bytes, report.oldest);
    assert_eq!(read_all(&mut store, 0), (report.oldest..4_001).collect::<Vec<_>>());
    println!("a real full disk: kept {} of 4001", 4_001 - report.oldest);
}
