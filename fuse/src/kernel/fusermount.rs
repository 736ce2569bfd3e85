//! `fusermount3`: the set-uid helper that mounts for people who are not root.
//!
//! It opens /dev/fuse, mounts, and passes the descriptor back through the socket that `_FUSE_COMMFD` names.

use std::ffi::OsString;
use std::io::{self, IoSliceMut, Read};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SocketFlags, SocketType, recvmsg, socketpair,
};

use super::mount::{MountError, MountOptions, other, shared_options};
use super::{Device, UnmountError};

const HELPER: &str = "fusermount3";

/// Mounts on `target`, which exists.
pub(super) fn mount(target: &Path, options: &MountOptions) -> Result<Device, MountError> {
    let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
        .map_err(|errno| other("make a socket")(errno.into()))?;
    // As its standard input the socket needs no tricks to survive exec.
    let mut child = Command::new(HELPER)
        .env("_FUSE_COMMFD", "0")
        .arg("-o")
        .arg(words(options))
        .arg("--")
        .arg(target)
        .stdin(theirs)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(not_started)?;
    // The command, and with it our copy of the helper's end, is gone: the helper's exit ends the wait.
    let received = receive(&ours);
    let mut text = String::new();
    if let Some(stderr) = &mut child.stderr {
        let _ = stderr.take(4096).read_to_string(&mut text);
    }
    let status = child.wait().map_err(other("wait for fusermount3"))?;
    match received.map_err(other("receive the device"))? {
        Some(fd) => Ok(Device::adopt(fd)),
        None if text.trim().is_empty() => Err(MountError::Fusermount(status.to_string())),
        None => Err(refused(said(&text))),
    }
}

/// What the helper's words mean, where that is one of our own cases.
fn refused(words: String) -> MountError {
    let about_device = words.contains("/dev/fuse");
    match () {
        () if words.contains("fuse device not found") => MountError::NoDevice,
        () if about_device && words.contains("Permission denied") => MountError::DeviceDenied,
        () if about_device && words.contains("No such file") => MountError::NoDevice,
        // The helper has lost its set-uid bit, or a container forbids what it is for.
        () if words.contains("mount failed: Operation not permitted") => MountError::NotPermitted,
        () => MountError::Fusermount(words),
    }
}

/// Unmounts `target`, with `-z` when `lazy`.
pub(super) fn unmount(target: &Path, lazy: bool) -> Result<(), UnmountError> {
    let mut command = Command::new(HELPER);
    command.arg("-u").args(lazy.then_some("-z")).arg("--").arg(target);
    let output = command.stdin(Stdio::null()).output().map_err(|error| match not_started(error) {
        MountError::NoFusermount => UnmountError::NoFusermount,
        error => UnmountError::Fusermount(error.to_string()),
    })?;
    let text = String::from_utf8_lossy(&output.stderr);
    match output.status.success() {
        true => Ok(()),
        false if text.contains("busy") => Err(UnmountError::Busy),
        false => Err(UnmountError::Fusermount(said(&text))),
    }
}

fn not_started(error: io::Error) -> MountError {
    match error.kind() {
        io::ErrorKind::NotFound => MountError::NoFusermount,
        _ => other("start fusermount3")(error),
    }
}

/// The first line, without the helper's name in front.
fn said(text: &str) -> String {
    let line = text.trim().lines().next().unwrap_or_default();
    line.strip_prefix("fusermount3: ").unwrap_or(line).to_owned()
}

fn words(options: &MountOptions) -> OsString {
    // The helper splits at commas and takes backslashes for escapes.
    let source = options.source.replace('\\', "\\\\").replace(',', "\\,");
    let mut words = vec![format!("fsname={source}"), "subtype=rfuse".into(), "nosuid".into(), "nodev".into()];
    words.push(if options.read_only { "ro" } else { "rw" }.into());
    if options.no_exec {
        words.push("noexec".into());
    }
    words.extend(shared_options(options));
    words.join(",").into()
}

/// The descriptor in the helper's one message; none when it ends without.
fn receive(socket: &OwnedFd) -> io::Result<Option<OwnedFd>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    rustix::io::retry_on_intr(|| {
        recvmsg(socket, &mut [IoSliceMut::new(&mut byte)], &mut control, RecvFlags::CMSG_CLOEXEC)
    })?;
    Ok(control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_helper_says_of_the_device_is_one_of_our_cases() {
        let said = |words: &str| refused(words.to_owned());
        assert!(matches!(said("fuse device not found, try 'modprobe fuse' first"), MountError::NoDevice));
        assert!(matches!(said("failed to open /dev/fuse: Permission denied"), MountError::DeviceDenied));
        assert!(matches!(said("mount failed: Operation not permitted"), MountError::NotPermitted));
        assert!(matches!(said("user has no write access to mountpoint /mnt"), MountError::Fusermount(_)));
    }

    #[test]
    fn a_comma_in_the_source_stays_in_the_source() {
        let options = MountOptions { source: "s3://a,allow_other".into(), ..MountOptions::default() };
        let words = words(&options).into_string().unwrap();
        assert!(words.starts_with("fsname=s3://a\\,allow_other,subtype=rfuse,nosuid,nodev,ro"), "{words}");
    }
}
