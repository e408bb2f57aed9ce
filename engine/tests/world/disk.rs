//! A disk that knows which bytes and which names a loss of power would spare, and what may become of the others.
//!
//! Files are made anew and written from their start to their end, as [`Disk`] has it. A name that was made, moved or
//! removed is durable once its folder was synced, bytes once their file was.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pgferry_engine::state::disk::{Disk, Opened};

use super::Shared;

/// Every secret of the small cloud has it in it.
pub(crate) const CANARY: &str = "canary";

/// All that is on the disk.
#[derive(Clone, Debug, Default)]
pub(crate) struct Files {
    files: BTreeMap<u64, File>,
    made: u64,
    /// As the process sees them.
    names: BTreeMap<PathBuf, u64>,
    /// As they are after a loss of power.
    durable: BTreeMap<PathBuf, u64>,
}

#[derive(Clone, Debug, Default)]
struct File {
    bytes: Arc<Vec<u8>>,
    /// So many of them are durable.
    synced: usize,
    /// Where the last write began.
    last: usize,
}

/// What becomes of what was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loss {
    /// Only the process died.
    Nothing,
    /// Bytes and names are as they were last synced.
    Everything,
    /// The last write of each file is half there.
    Torn,
    /// Names are kept, the bytes behind them are not.
    Bytes,
    /// Bytes are kept, names are not.
    Names,
    /// Each name and each file on its own, as this number has it.
    Some(u64),
}

impl Loss {
    pub(crate) const ALL: [Self; 6] =
        [Self::Nothing, Self::Everything, Self::Torn, Self::Bytes, Self::Names, Self::Some(7)];
}

/// Numbers that look random, from a seed.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    /// Below `most`.
    pub(crate) fn roll(&mut self, most: usize) -> usize {
        // SplitMix64, by Steele, Lea and Flood: the shortest one that is good enough.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let number = (z ^ (z >> 31)) % u64::try_from(most.max(1)).unwrap();
        usize::try_from(number).unwrap()
    }
}

impl Files {
    pub(crate) fn read(&self, path: &Path) -> Option<Vec<u8>> {
        self.names.get(path).map(|file| self.files[file].bytes.to_vec())
    }

    /// Every name, in order.
    pub(crate) fn names(&self) -> Vec<String> {
        let name = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
        self.names.keys().map(name).collect()
    }

    /// The disk as it is found afterwards.
    pub(crate) fn after(&self, loss: Loss) -> Self {
        let mut dice = Dice(if let Loss::Some(seed) = loss { seed } else { 0 });
        let mut left = self.clone();
        left.names = match loss {
            Loss::Nothing | Loss::Torn | Loss::Bytes => self.names.clone(),
            Loss::Everything | Loss::Names => self.durable.clone(),
            Loss::Some(_) => {
                let all = self.names.keys().chain(self.durable.keys());
                let kept = all.filter_map(|path| {
                    let which = if dice.roll(2) == 0 { &self.names } else { &self.durable };
                    Some((path.clone(), *which.get(path)?))
                });
                kept.collect()
            }
        };
        for file in left.files.values_mut() {
            let (all, half) = (file.bytes.len(), file.last + (file.bytes.len() - file.last) / 2);
            let keep = match loss {
                Loss::Nothing | Loss::Names => all,
                Loss::Everything | Loss::Bytes => file.synced,
                Loss::Torn => half.max(file.synced),
                Loss::Some(_) => file.synced + dice.roll(all - file.synced + 1),
            };
            Arc::make_mut(&mut file.bytes).truncate(keep);
            (file.synced, file.last) = (keep, keep);
        }
        left.durable = left.names.clone();
        let named: Vec<u64> = left.names.values().copied().collect();
        left.files.retain(|file, _| named.contains(file));
        left
    }

    fn write(&mut self, file: u64, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes);
        assert!(!text.contains(CANARY), "a secret reaches the disk: {text}");
        let file = self.files.get_mut(&file).unwrap();
        file.last = file.bytes.len();
        Arc::make_mut(&mut file.bytes).extend_from_slice(bytes);
    }
}

/// The disk as the engine sees it; each effect is one of the world's.
#[derive(Clone)]
pub(crate) struct SimDisk(pub(crate) Shared);

impl std::fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SimDisk")
    }
}

struct Writing(Shared, u64, String);

fn shown(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

impl Disk for SimDisk {
    fn read(&self, path: &Path) -> io::Result<Option<Vec<u8>>> {
        Ok(self.0.look(|world| world.files.read(path)))
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn Opened>> {
        let file = self.0.disk(&format!("create {}", shown(path)), |files, _| {
            if files.names.contains_key(path) {
                return Err(io::Error::from(io::ErrorKind::AlreadyExists));
            }
            files.made += 1;
            files.files.insert(files.made, File::default());
            files.names.insert(path.to_owned(), files.made);
            Ok(files.made)
        })?;
        Ok(Box::new(Writing(self.0.clone(), file, shown(path))))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.disk(&format!("rename {} to {}", shown(from), shown(to)), |files, _| {
            let file = files.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
            files.names.insert(to.to_owned(), file);
            Ok(())
        })
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.disk(&format!("link {} as {}", shown(from), shown(to)), |files, _| {
            let file = *files.names.get(from).ok_or(io::ErrorKind::NotFound)?;
            if files.names.contains_key(to) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            files.names.insert(to.to_owned(), file);
            Ok(())
        })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        if self.0.look(|world| !world.files.names.contains_key(path)) {
            return Ok(());
        }
        self.0.disk(&format!("remove {}", shown(path)), |files, _| {
            files.names.remove(path);
            Ok(())
        })
    }

    fn make_folder(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        self.0.disk("sync the folder", |files, _| {
            files.durable.retain(|name, _| name.parent() != Some(path));
            let here = files.names.iter().filter(|(name, _)| name.parent() == Some(path));
            let here: Vec<_> = here.map(|(name, file)| (name.clone(), *file)).collect();
            files.durable.extend(here);
            Ok(())
        })
    }
}

impl Opened for Writing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.disk(&format!("write {}", self.2), |files, full| {
            if full {
                files.write(self.1, &bytes[..bytes.len() / 2]);
                return Err(io::ErrorKind::StorageFull.into());
            }
            files.write(self.1, bytes);
            Ok(())
        })
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.disk(&format!("sync {}", self.2), |files, _| {
            let file = files.files.get_mut(&self.1).unwrap();
            (file.synced, file.last) = (file.bytes.len(), file.bytes.len());
            Ok(())
        })
    }
}
