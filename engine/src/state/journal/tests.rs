//! Many records at once, on a disk that tells what is durable.

use std::io;
use std::path::Path;
use std::sync::{Condvar, Mutex};
use std::time::Duration;

use super::super::disk::{Disk, Folders, Opened};
use super::super::file::StateFile;
use super::*;

/// Tasks that have a record each.
const TASKS: usize = 50;

#[derive(Debug, Default)]
struct Seen {
    written: Vec<u8>,
    durable: usize,
    syncs: usize,
    /// Records that were taken in.
    taken: usize,
}

/// The folders of this machine, but that the first record is durable only once all tasks have theirs.
#[derive(Clone, Debug, Default)]
struct Slow(Arc<(Mutex<Seen>, Condvar)>);

impl Slow {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.0.lock().expect("no panic")
    }
}

impl Opened for Slow {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.seen().written.extend_from_slice(bytes);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        let all = self.seen().written.len();
        let waits = |seen: &mut Seen| seen.syncs == 1 && seen.taken < TASKS;
        let (mut seen, waited) =
            self.0.1.wait_timeout_while(self.seen(), Duration::from_secs(60), waits).expect("free");
        assert!(!waited.timed_out(), "{} tasks have a record", seen.taken);
        (seen.durable, seen.syncs) = (all, seen.syncs + 1);
        Ok(())
    }
}

impl Disk for Slow {
    fn read(&self, path: &Path) -> io::Result<Option<Vec<u8>>> {
        Folders.read(path)
    }
    fn create(&self, _: &Path) -> io::Result<Box<dyn Opened>> {
        Ok(Box::new(self.clone()))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        Folders.rename(from, to)
    }
    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        Folders.link(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        Folders.remove(path)
    }
    fn make_folder(&self, path: &Path) -> io::Result<()> {
        Folders.make_folder(path)
    }
    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        Folders.sync_folder(path)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_of_the_same_time_are_made_durable_together_and_each_before_its_effect() {
    let folder = tempfile::tempdir().expect("a folder");
    let disk = Slow::default();
    let store = StateFile::on(Arc::new(disk.clone()), folder.path().join("s.json"));
    let watch: Watch = Arc::new({
        let disk = disk.clone();
        move |moment, _| {
            if moment == Moment::Before {
                disk.seen().taken += 1;
                disk.0.1.notify_all();
            }
        }
    });
    let state = State::new("m", "l".to_owned());
    let at = Timestamp::UNIX_EPOCH;
    let journal = Journal::begin(Arc::new(store), state, at, Some(watch)).expect("begins");
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..TASKS {
        let (journal, disk) = (journal.clone(), disk.clone());
        tasks.spawn(async move {
            let record = Record::Forgot { address: Address::new(format!("r{number}")) };
            journal.appended(&record, Durability::Synced).await.expect("written");
            let seen = disk.seen();
            let durable = String::from_utf8_lossy(&seen.written[..seen.durable]);
            durable.contains(&format!("\"r{number}\""))
        });
    }
    let durable = tasks.join_all().await;
    assert_eq!(durable, vec![true; TASKS]);
    // The first line of the journal, the records that came first, and all others.
    assert_eq!(disk.seen().syncs, 3);
}
