//! Small servers whose answers a test writes: a store, and a proxy.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Answers every request with what the test makes of its head, and closes the connection.
pub(crate) struct Scripted {
    port: u16,
}

impl Scripted {
    pub(crate) fn start(answer: impl Fn(&str) -> String + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let answer = Arc::new(answer);
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let answer = Arc::clone(&answer);
                std::thread::spawn(move || {
                    if let Some(head) = head_of(&mut stream) {
                        let _ = stream.write_all(answer(&head).as_bytes());
                    }
                });
            }
        });
        Self { port }
    }

    /// Refuses everything: this status line, these headers, this body.
    pub(crate) fn refusing(status: &str, headers: &str, body: &str) -> Self {
        let answer =
            format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
        Self::start(move |_| answer.clone())
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

/// A proxy that opens tunnels to one address, whatever it is asked for.
pub(crate) struct Proxy {
    port: u16,
    tunnels: Arc<AtomicUsize>,
}

impl Proxy {
    pub(crate) fn to(address: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let tunnels = Arc::new(AtomicUsize::new(0));
        let opened = Arc::clone(&tunnels);
        std::thread::spawn(move || {
            for mut client in listener.incoming().flatten() {
                let Some(head) = head_of(&mut client) else { continue };
                assert!(head.starts_with("CONNECT "), "{head}");
                let Ok(store) = TcpStream::connect(&address) else { continue };
                client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").unwrap();
                opened.fetch_add(1, Ordering::SeqCst);
                pump(client.try_clone().unwrap(), store.try_clone().unwrap());
                pump(store, client);
            }
        });
        Self { port, tunnels }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(crate) fn tunnels(&self) -> usize {
        self.tunnels.load(Ordering::SeqCst)
    }
}

fn pump(mut from: TcpStream, mut to: TcpStream) {
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(std::net::Shutdown::Write);
    });
}

/// The head of a request, byte by byte so that nothing after it is taken.
fn head_of(stream: &mut TcpStream) -> Option<String> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    String::from_utf8(head).ok()
}
