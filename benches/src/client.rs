//! The smallest client that can ask the server something: one request a connection, blocking, bounded in time.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::server::Stats;

/// Time at most for any step of an exchange.
const PATIENCE: Duration = Duration::from_secs(10);

/// An answer, whole.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Status line and header lines.
    pub head: String,
    /// What follows them.
    pub body: Vec<u8>,
}

/// Sends one request with these header lines (each ended by `\r\n`) and takes the whole answer.
///
/// # Errors
/// The connection fails or stays silent for ten seconds, or what comes is not HTTP.
pub fn ask(server: SocketAddr, method: &str, target: &str, lines: &str) -> io::Result<Answer> {
    let mut stream = TcpStream::connect_timeout(&server, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(
        format!("{method} {target} HTTP/1.1\r\nhost: {server}\r\nconnection: close\r\n{lines}\r\n").as_bytes(),
    )?;
    let mut all = Vec::new();
    stream.read_to_end(&mut all)?;
    let invalid = || io::Error::new(io::ErrorKind::InvalidData, "the answer is not HTTP");
    let end = all.windows(4).position(|four| four == b"\r\n\r\n").ok_or_else(invalid)?;
    let head = String::from_utf8_lossy(&all[..end]).into_owned();
    let status = head.split(' ').nth(1).and_then(|word| word.parse().ok()).ok_or_else(invalid)?;
    Ok(Answer { status, head, body: all.split_off(end + 4) })
}

/// What the server has counted; `target` is `/__stats`, `/__reset` or `/__set?…`.
///
/// # Errors
/// As [`ask`], and what the server has against the target.
pub fn control(server: SocketAddr, target: &str) -> io::Result<Stats> {
    let answer = ask(server, "GET", target, "")?;
    if answer.status != 200 {
        return Err(io::Error::other(String::from_utf8_lossy(&answer.body).into_owned()));
    }
    serde_json::from_slice(&answer.body).map_err(io::Error::other)
}
