//! A tap on the wire between the binary and a service: it passes every byte on and keeps a copy, so that a test knows
//! the secrets that only the two of them have seen.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
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
                let answers = if line == Line::Overheard { line } else { Line::Plain };
                pass(client, server, Arc::clone(&ears), line);
                pass(forth, back, Arc::clone(&ears), answers);
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

/// What happens to the bytes of one direction besides being passed on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Line {
    Plain,
    Overheard,
    Slow { bytes_a_second: u32 },
}

fn pass(mut from: TcpStream, mut to: TcpStream, heard: Ears, line: Line) {
    let mine = {
        let mut heard = heard.lock().unwrap();
        heard.push(Vec::new());
        heard.len() - 1
    };
    std::thread::spawn(move || {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            match line {
                Line::Plain => {}
                Line::Overheard => heard.lock().unwrap()[mine].extend_from_slice(&buffer[..count]),
                Line::Slow { bytes_a_second } => std::thread::sleep(
                    Duration::from_secs(1) * u32::try_from(count).unwrap() / bytes_a_second,
                ),
            }
            if to.write_all(&buffer[..count]).is_err() {
                break;
            }
        }
        // Either end may be gone already.
        let _gone = to.shutdown(Shutdown::Write);
    });
}
