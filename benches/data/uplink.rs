//! A narrow line to a service: all connections together carry no more than so many bytes a second towards it.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How much of a late awakening is made good.
const CATCH_UP: Duration = Duration::from_millis(20);

/// Listens in front of `origin` (`http://HOST:PORT`) and gives the origin to use instead. Ends with this process.
pub(crate) fn narrow(origin: &str, bytes_a_second: f64) -> String {
    let to = origin.strip_prefix("http://").unwrap().to_owned();
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let here = format!("http://{}", listener.local_addr().unwrap());
    // When the line is free again.
    let free = Arc::new(Mutex::new(Instant::now()));
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let (Ok(client), Ok(server)) = (client, TcpStream::connect(&to)) else { return };
            let (back, forth) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            let free = Arc::clone(&free);
            pass(client, server, move |count| {
                let time = Duration::from_secs_f64(count as f64 / bytes_a_second);
                let mut free = free.lock().unwrap();
                // Whoever wakes up late may catch up.
                let earliest = Instant::now().checked_sub(CATCH_UP).unwrap_or(*free);
                *free = (*free).max(earliest) + time;
                let until = *free;
                drop(free);
                std::thread::sleep(until.saturating_duration_since(Instant::now()));
            });
            pass(forth, back, |_| ());
        }
    });
    here
}

fn pass(mut from: TcpStream, mut to: TcpStream, wait: impl Fn(usize) + Send + 'static) {
    std::thread::spawn(move || {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            wait(count);
            if to.write_all(&buffer[..count]).is_err() {
                break;
            }
        }
        // Either end may be gone already.
        let _gone = to.shutdown(Shutdown::Write);
    });
}
