//! A tap on the wire between the binary and a service: it passes every byte on and keeps a copy, so that a test knows
//! the secrets that only the two of them have seen.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

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
        let to = origin.strip_prefix("http://").unwrap().to_owned();
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let heard = Ears::default();
        let ears = Arc::clone(&heard);
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (Ok(client), Ok(server)) = (client, TcpStream::connect(&to)) else { return };
                let (back, forth) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                pass(client, server, Arc::clone(&ears));
                pass(forth, back, Arc::clone(&ears));
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

fn pass(mut from: TcpStream, mut to: TcpStream, heard: Ears) {
    let mine = {
        let mut heard = heard.lock().unwrap();
        heard.push(Vec::new());
        heard.len() - 1
    };
    std::thread::spawn(move || {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            heard.lock().unwrap()[mine].extend_from_slice(&buffer[..count]);
            if to.write_all(&buffer[..count]).is_err() {
                break;
            }
        }
        // Either end may be gone already.
        let _gone = to.shutdown(Shutdown::Write);
    });
}
