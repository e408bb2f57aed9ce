//! A small cloud that never refuses a second one of anything: what is made twice is there twice.
//!
//! Users write to the source with every effect, unless a window is open. The cutover checks what no test of an engine
//! should have to take on trust: that what applications read from then on is all that was ever written.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value as Json;

/// All that exists outside.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cloud {
    /// By id.
    pub(crate) things: BTreeMap<String, Thing>,
    pub(crate) uploads: BTreeMap<String, Upload>,
    /// By name.
    pub(crate) objects: BTreeMap<String, Object>,
    pub(crate) transfers: BTreeMap<u64, Transfer>,
    /// From id to label.
    pub(crate) keys: BTreeMap<String, String>,
    /// Whether each window that was ever touched is open.
    pub(crate) windows: BTreeMap<String, bool>,
    /// How often each command ran.
    pub(crate) commands: BTreeMap<String, u64>,
    /// How often the source was written to.
    pub(crate) source: u64,
    /// Where applications write since the cutover.
    pub(crate) cut_over: Option<String>,
    /// Whether a cutover to anything but all that was written is the end of the test.
    pub(crate) strict: bool,
    made: BTreeMap<String, u64>,
}

/// An app, an add-on, a bucket, settings.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Thing {
    pub(crate) kind: &'static str,
    pub(crate) name: String,
    pub(crate) size: Option<u64>,
    pub(crate) owner: Option<String>,
    pub(crate) ready: Timestamp,
    /// What a restore put there: the source as it was after so many writes.
    pub(crate) data: Option<u64>,
    /// Applications have written to it.
    pub(crate) written: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Upload {
    pub(crate) object: String,
    pub(crate) version: u64,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Object {
    pub(crate) version: u64,
    /// Which completed upload it is.
    pub(crate) id: String,
}

/// A restore, which goes on without us.
#[derive(Clone, Debug)]
pub(crate) struct Transfer {
    pub(crate) into: String,
    pub(crate) object: String,
    version: u64,
    ends: Timestamp,
    pub(crate) over: bool,
}

/// How long things and restores take.
const TAKES: SignedDuration = SignedDuration::from_secs(3);

impl Cloud {
    /// An id that says which one of that name it is.
    fn id(&mut self, name: &str) -> String {
        let count = self.made.entry(name.to_owned()).or_default();
        *count += 1;
        format!("{name}#{count}")
    }

    /// What happens in between: users write, restores go on.
    pub(crate) fn passes(&mut self, now: Timestamp) {
        if !self.windows.values().any(|open| *open) {
            match &self.cut_over {
                None => self.source += 1,
                Some(id) => {
                    if let Some(thing) = self.things.get_mut(id) {
                        thing.written = true;
                    }
                }
            }
        }
        self.elapses(now);
    }

    pub(crate) fn elapses(&mut self, now: Timestamp) {
        for transfer in self.transfers.values_mut().filter(|t| !t.over && t.ends <= now) {
            transfer.over = true;
            if let Some(thing) = self.things.get_mut(&transfer.into) {
                thing.data = Some(transfer.version);
            }
        }
    }

    pub(crate) fn post(&mut self, kind: &'static str, name: &str, now: Timestamp) -> String {
        let id = self.id(name);
        let thing = Thing {
            kind,
            name: name.to_owned(),
            size: None,
            owner: None,
            ready: now + TAKES,
            data: None,
            written: false,
        };
        self.things.insert(id.clone(), thing);
        id
    }

    pub(crate) fn patch(&mut self, id: &str, size: Option<u64>, owner: Option<String>) {
        let Some(thing) = self.things.get_mut(id) else { return };
        (thing.size, thing.owner) = (size, owner.clone());
        if thing.kind != "cutover" {
            return;
        }
        let target = owner.unwrap_or_default();
        if self.strict {
            assert!(self.windows.values().any(|open| *open), "cut over while users write");
            let data = self.things.get(&target).and_then(|target| target.data);
            assert_eq!(data, Some(self.source), "writes are lost by the cutover to `{target}`");
        }
        self.cut_over = Some(target);
    }

    pub(crate) fn find(&self, kind: &str, name: &str) -> Option<(&String, &Thing)> {
        self.things.iter().find(|(_, thing)| thing.kind == kind && thing.name == name)
    }

    pub(crate) fn begin_upload(&mut self, object: &str) -> String {
        let id = self.id("upload");
        let upload = Upload { object: object.to_owned(), version: self.source };
        self.uploads.insert(id.clone(), upload);
        id
    }

    pub(crate) fn complete(&mut self, upload: &str) -> Object {
        let Upload { object, version } = self.uploads.remove(upload).expect("an upload of ours");
        let made = Object { version, id: self.id(&object) };
        self.objects.insert(object, made.clone());
        made
    }

    pub(crate) fn transfer(&mut self, into: &str, object: &str, now: Timestamp) -> u64 {
        let found = self.objects.values().find(|known| known.id == object);
        let version = found.expect("a dump that is there").version;
        if self.strict {
            assert!(!self.things[into].written, "what applications wrote to `{into}` is lost");
        }
        let number = self.transfers.len() as u64 + 1;
        let (into, object) = (into.to_owned(), object.to_owned());
        let ends = now + TAKES;
        self.transfers.insert(number, Transfer { into, object, version, ends, over: false });
        number
    }

    pub(crate) fn make_key(&mut self, label: &str) -> String {
        let id = self.id(label);
        self.keys.insert(id.clone(), label.to_owned());
        id
    }

    /// What has to be the same however one came here.
    pub(crate) fn summary(&self) -> Json {
        let things: BTreeMap<&String, String> = self
            .things
            .iter()
            .map(|(id, t)| (id, format!("{} {} {:?} {:?}", t.kind, t.name, t.size, t.owner)))
            .collect();
        let open: Vec<&String> =
            self.windows.iter().filter(|(_, open)| **open).map(|(name, _)| name).collect();
        serde_json::json!({
            "things": things,
            "uploads": self.uploads.len(),
            "objects": self.objects.keys().collect::<Vec<_>>(),
            "keys": self.keys,
            "open": open,
            "cut_over": self.cut_over,
        })
    }
}
