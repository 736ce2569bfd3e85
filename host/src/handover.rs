//! How a process that mounts hands a FUSE descriptor, settings and secrets to one that serves.
//!
//! One stream socket between the two, made by the holder and given to the child as its standard input: nothing
//! stands in an argument vector, an environment or a file. A message is its length in four bytes, then JSON;
//! descriptors travel with its first byte (`SCM_RIGHTS`). Bounds: 1 MiB a message, 17 descriptors.

use std::collections::BTreeMap;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rfuse_config::control;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::Sealed;

/// The longest message, in bytes.
pub const MESSAGE_MAX: usize = 1 << 20;

/// Descriptors with one message at most: a mounted one, and one more for each of 16 workers.
pub const DESCRIPTORS_MAX: usize = 17;

/// What the holder says to the process that serves a mount.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// First: serve the descriptors that come with this. The first of them is mounted, the others are fresh
    /// (or, when resuming, joined to it already).
    Serve(Box<Serve>),
    /// Test these secrets and use them from now on; the names are those of [`Serve::secrets`].
    Renew(BTreeMap<String, Sealed>),
    /// A question as on the control socket of a mount.
    Ask(control::Request),
}

/// What is to be served.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Serve {
    /// The URL, without a SAS.
    pub url: String,
    /// Where it is mounted, for the log; the process that serves need not see it.
    pub dir: String,
    /// Settings by their names (`block-size`), none of them secret.
    pub settings: BTreeMap<String, String>,
    /// Secrets: `sas`, `account-key`, or `aws-credentials` (the text of such a file).
    pub secrets: BTreeMap<String, Sealed>,
    /// A file of what is mounted that holds the access plan to follow.
    #[serde(default)]
    pub plan: Option<String>,
    /// What a process before this one agreed on with the kernel about the same descriptors.
    pub resume: Option<Agreement>,
}

/// What was agreed on with the kernel; valid as long as the mount is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Agreement {
    /// Minor version spoken.
    pub minor: u32,
    /// Bits of INIT that both sides know.
    pub flags: u64,
    /// Bytes the kernel reads ahead at most.
    pub read_ahead: u32,
}

/// What the process that serves says.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// To [`Order::Serve`]: programs are answered from now on.
    Serving(Agreement),
    /// To [`Order::Renew`] and [`Order::Ask`].
    Reply(control::Reply),
    /// To any order: it was not done.
    Failed(Refusal),
    /// Unasked, as the last word: the file system is unmounted everywhere.
    Unmounted,
}

/// What was not done, why, and what to do about it; no secret in it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, thiserror::Error)]
#[error("cannot {what}: {why}; {help}")]
pub struct Refusal {
    /// The exit code that `rfuse mount` would have had.
    pub exit: u8,
    /// After "cannot".
    pub what: String,
    /// Why.
    pub why: String,
    /// What to do.
    pub help: String,
}

/// Sends `message` and `descriptors`.
///
/// # Errors
/// When the other side is gone or too slow for the socket's timeout; `InvalidInput` beyond the bounds.
pub fn send(stream: &UnixStream, message: &impl Serialize, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut bytes = Zeroizing::new(vec![0; 4]);
    serde_json::to_writer(&mut *bytes, message)?;
    let length = bytes.len() - 4;
    if length > MESSAGE_MAX || descriptors.len() > DESCRIPTORS_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the message is too large"));
    }
    let prefix = u32::try_from(length).map_err(io::Error::other)?.to_le_bytes();
    bytes[..4].copy_from_slice(&prefix);
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut rights = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() {
        rights.push(SendAncillaryMessage::ScmRights(descriptors));
    }
    let sent = retry(|| rustix::net::sendmsg(stream, &[IoSlice::new(&bytes)], &mut rights, SendFlags::NOSIGNAL))?;
    let mut stream = stream;
    stream.write_all(&bytes[sent..])
}

/// Waits for a message and its descriptors.
///
/// # Errors
/// `UnexpectedEof` when the other side is gone, `WouldBlock` after the socket's timeout, `InvalidData` for what
/// is no such message.
pub fn receive<T: DeserializeOwned>(stream: &UnixStream) -> io::Result<(T, Vec<OwnedFd>)> {
    let mut prefix = [0; 4];
    let (first, descriptors) = receive_rights(stream, &mut prefix)?;
    let mut stream = stream;
    stream.read_exact(&mut prefix[first..])?;
    let length = u32::from_le_bytes(prefix) as usize;
    if length > MESSAGE_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the message is too large"));
    }
    let mut bytes = Zeroizing::new(vec![0; length]);
    stream.read_exact(&mut bytes)?;
    // The parser's own text may quote what it read.
    let parsed = serde_json::from_slice(&bytes);
    let message = parsed.map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "not a message of this version"))?;
    Ok((message, descriptors))
}

fn receive_rights(stream: &UnixStream, bytes: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut rights = RecvAncillaryBuffer::new(&mut space);
    let received = retry(|| {
        let mut pieces = [IoSliceMut::new(bytes)];
        rustix::net::recvmsg(stream.as_fd(), &mut pieces, &mut rights, RecvFlags::CMSG_CLOEXEC)
    })?;
    if received.bytes == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let mut descriptors = Vec::new();
    for message in rights.drain() {
        if let RecvAncillaryMessage::ScmRights(handed) = message {
            descriptors.extend(handed);
        }
    }
    Ok((received.bytes, descriptors))
}

fn retry<T>(mut call: impl FnMut() -> rustix::io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(rustix::io::Errno::INTR) => {}
            outcome => return outcome.map_err(Into::into),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rfuse_config::Secret;
    use std::io::Seek;

    fn serve(secret: &str) -> Order {
        Order::Serve(Box::new(Serve {
            url: "az://acme/logs".into(),
            dir: "/mnt".into(),
            settings: BTreeMap::from([("block-size".into(), "4KiB".into())]),
            secrets: BTreeMap::from([("sas".into(), Sealed(Secret::new(secret)))]),
            plan: None,
            resume: None,
        }))
    }

    #[test]
    fn a_message_arrives_with_its_descriptors_in_their_order() {
        let (here, there) = UnixStream::pair().unwrap();
        let files: Vec<_> = (0..DESCRIPTORS_MAX)
            .map(|number| {
                let mut file = tempfile::tempfile().unwrap();
                write!(file, "{number}").unwrap();
                file
            })
            .collect();
        let borrowed: Vec<_> = files.iter().map(AsFd::as_fd).collect();
        send(&here, &serve("sig=canary"), &borrowed).unwrap();
        let (order, handed): (Order, _) = receive(&there).unwrap();
        assert_eq!(order, serve("sig=canary"));
        assert_eq!(handed.len(), DESCRIPTORS_MAX);
        for (number, descriptor) in handed.into_iter().enumerate() {
            let (mut file, mut text) = (std::fs::File::from(descriptor), String::new());
            file.rewind().unwrap();
            file.read_to_string(&mut text).unwrap();
            assert_eq!(text, number.to_string());
        }
    }

    #[test]
    fn a_long_message_needs_a_reader_and_one_too_long_is_refused() {
        let (here, there) = UnixStream::pair().unwrap();
        let long = "x".repeat(700 << 10);
        let reader = std::thread::spawn(move || receive::<String>(&there).unwrap().0.len());
        send(&here, &long, &[]).unwrap();
        assert_eq!(reader.join().unwrap(), long.len());
        let error = send(&here, &"x".repeat(MESSAGE_MAX + 1), &[]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn what_is_no_message_is_an_error_that_quotes_nothing() {
        let (mut here, there) = UnixStream::pair().unwrap();
        here.write_all(&[14, 0, 0, 0]).unwrap();
        here.write_all(b"{\"sig=canary\":").unwrap();
        let error = receive::<Order>(&there).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert!(!format!("{error:?}").contains("canary"));
        here.write_all(&u32::MAX.to_le_bytes()).unwrap();
        assert_eq!(receive::<Order>(&there).unwrap_err().kind(), io::ErrorKind::InvalidData);
        drop(here);
        assert_eq!(receive::<Order>(&there).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn an_order_never_prints_its_secret() {
        assert!(!format!("{:?}", serve("sig=canary")).contains("canary"));
    }
}
