//! A tap on the wire between the binary and a service. It passes every byte on, and keeps a copy, so that a test knows
//! the secrets that only the two of them have seen; or it slows them down; or it loses an answer.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A tap on one origin. Its threads end with the connections, or with the test's process.
pub struct Tap {
    pub origin: String,
    heard: Ears,
}

/// What was heard, one text a connection and direction.
type Ears = Arc<Mutex<Vec<Vec<u8>>>>;

impl Tap {
    /// Listens, and passes on to `origin` (`http://HOST:PORT`).
    pub fn on(origin: &str) -> Self {
        Self::start(origin, Line::Overheard)
    }

    /// Passes no more than so many bytes a second on to `origin`, over each connection; keeps no copy.
    pub fn slow(origin: &str, bytes_a_second: u32) -> Self {
        Self::start(origin, Line::Slow { bytes_a_second })
    }

    /// Loses the answer to the request that brings `fuse` down to none.
    pub fn severed(origin: &str, fuse: &Fuse) -> Self {
        Self::start(origin, Line::Severed(fuse.clone()))
    }

    fn start(origin: &str, line: Line) -> Self {
        let to = origin.strip_prefix("http://").unwrap().to_owned();
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let heard = Ears::default();
        let ears = Arc::clone(&heard);
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (Ok(client), Ok(server)) = (client, TcpStream::connect(&to)) else { return };
                let (back, forth) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                let is_cut = Arc::new(AtomicBool::new(false));
                pass(client, server, Arc::clone(&ears), line.clone(), Arc::clone(&is_cut));
                let answers = if let Line::Slow { .. } = line { Line::Plain } else { line.clone() };
                pass(forth, back, Arc::clone(&ears), answers, is_cut);
            }
        });
        Self { origin, heard }
    }

    /// The values of all `"key":"…"`, each once.
    pub fn values(&self, key: &str) -> Vec<String> {
        let begin = format!("\"{key}\":\"");
        let mut values = Vec::new();
        for heard in self.heard.lock().unwrap().iter() {
            let text = String::from_utf8_lossy(heard);
            let found = text.split(&begin).skip(1).filter_map(|rest| rest.split_once('"'));
            values.extend(found.map(|(value, _)| value.replace("\\u0026", "&")));
        }
        values.sort();
        values.dedup();
        values
    }
}

/// Counts requests that change something, over all taps that share it.
#[derive(Clone)]
pub struct Fuse(Arc<AtomicU32>);

impl Fuse {
    /// Blows at request `number`, counted from 1.
    pub fn at(number: u32) -> Self {
        Self(Arc::new(AtomicU32::new(number)))
    }

    /// Whether it has blown.
    pub fn is_blown(&self) -> bool {
        self.0.load(Ordering::SeqCst) == 0
    }

    /// Whether it blows by this.
    fn burn(&self) -> bool {
        let down = |left: u32| left.checked_sub(1);
        self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, down) == Ok(1)
    }
}

/// What happens to the bytes of one direction besides being passed on.
#[derive(Clone)]
enum Line {
    Plain,
    Overheard,
    Slow { bytes_a_second: u32 },
    Severed(Fuse),
}

/// Whether a request that changes something begins here. Clients write its head at once, after the last answer.
fn changes_something(bytes: &[u8]) -> bool {
    ["POST /", "PUT /", "PATCH /", "DELETE /"].iter().any(|head| bytes.starts_with(head.as_bytes()))
}

fn pass(mut from: TcpStream, mut to: TcpStream, ears: Ears, line: Line, is_cut: Arc<AtomicBool>) {
    let mine = {
        let mut heard = ears.lock().unwrap();
        heard.push(Vec::new());
        heard.len() - 1
    };
    std::thread::spawn(move || {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            let bytes = &buffer[..count];
            match &line {
                Line::Plain => {}
                Line::Overheard => ears.lock().unwrap()[mine].extend_from_slice(bytes),
                Line::Slow { bytes_a_second } => std::thread::sleep(
                    Duration::from_secs(1) * u32::try_from(count).unwrap() / *bytes_a_second,
                ),
                Line::Severed(fuse) if changes_something(bytes) && fuse.burn() => {
                    is_cut.store(true, Ordering::SeqCst);
                }
                Line::Severed(_)
                    if bytes.starts_with(b"HTTP/") && is_cut.load(Ordering::SeqCst) =>
                {
                    let _gone = from.shutdown(Shutdown::Both);
                    let _gone = to.shutdown(Shutdown::Both);
                    return;
                }
                Line::Severed(_) => {}
            }
            if to.write_all(bytes).is_err() {
                break;
            }
        }
        // Either end may be gone already.
        let _gone = to.shutdown(Shutdown::Write);
    });
}
