//! The kernel's read-ahead of a mount, above what INIT can ask for.

use std::io;

use super::mount_table::MountEntry;

/// Sets how far the kernel reads ahead in files of `mount` that are opened from now on. INIT can only lower
/// the kernel's default of 128 KiB; this raises it too, and needs root.
///
/// # Errors
/// Not permitted, or no such mount.
pub fn set_read_ahead(mount: &MountEntry, bytes: u32) -> io::Result<()> {
    let path = format!("/sys/class/bdi/{}:{}/read_ahead_kb", mount.major, mount.minor);
    std::fs::write(path, (bytes / 1024).to_string())
}
