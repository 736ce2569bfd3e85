//! How a command ends: an exit code that scripts can rely on, and three lines for people.

use std::fmt;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use crate::device::DeviceError;

/// Stable, documented exit codes; the same numbers as those of `rfuse`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Exit {
    /// Something failed: an input, an output, a device.
    Failed = 1,
    /// The command line is wrong.
    Usage = 2,
    /// A file or folder does not exist.
    NotFound = 5,
    /// All was done, and a requirement was missed.
    Missed = 10,
}

/// A command that did not do what it was asked: what, why, and what to do about it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    /// What was not done, after "cannot".
    pub(crate) what: String,
    pub(crate) why: String,
    pub(crate) help: String,
}

impl Failure {
    pub(crate) fn new(exit: Exit, what: impl Into<String>, why: impl Into<String>, help: impl Into<String>) -> Self {
        Self { exit, what: what.into(), why: why.into(), help: help.into() }
    }

    /// A system call on a file failed.
    pub(crate) fn file(doing: &str, path: &Path, error: &io::Error) -> Self {
        let exit = if error.kind() == io::ErrorKind::NotFound { Exit::NotFound } else { Exit::Failed };
        let help = match error.kind() {
            io::ErrorKind::NotFound => "check the path, and that the volume is mounted",
            io::ErrorKind::PermissionDenied => "check the owner and mode of the folder, and how it is mounted",
            io::ErrorKind::ReadOnlyFilesystem => "it is mounted read-only: write somewhere else",
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                "make room or write to another volume; what was written so far is kept, with .partial at its name"
            }
            _ => "check the volume; its log says more",
        };
        Self::new(exit, format!("{doing} {}", path.display()), error.to_string(), help)
    }

    /// A device cannot do its part.
    pub(crate) fn device(error: &DeviceError) -> Self {
        let help = match error {
            DeviceError::Absent(_) => "use --device cpu, or start it where the GPU is visible (nvidia-smi lists it)",
            DeviceError::OutOfMemory { .. } => {
                "end other programs on this GPU (nvidia-smi lists them), use another one with --device, or ask for \
                 less at a time: a smaller --batch of train, a smaller --block of load"
            }
            DeviceError::Driver { .. } => "look at the kernel log for Xid errors; --device cpu needs no GPU",
        };
        Self::new(Exit::Failed, "use the device", error.to_string(), help)
    }

    /// The code for the shell.
    pub(crate) fn code(&self) -> ExitCode {
        ExitCode::from(self.exit as u8)
    }
}

impl From<DeviceError> for Failure {
    fn from(error: DeviceError) -> Self {
        Self::device(&error)
    }
}

/// Three lines, each kept on one line whatever a name contains.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, why, help) = (one_line(&self.what), one_line(&self.why), one_line(&self.help));
        write!(f, "rfuse-resim: cannot {what}\n  why:  {why}\n  help: {help}")
    }
}

fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_three_lines_whatever_the_names() {
        let shown = Failure::new(Exit::Failed, "read a\nb", "why", "help").to_string();
        assert_eq!(shown.lines().count(), 3);
    }

    #[test]
    fn a_full_gpu_says_how_full_it_is_and_what_to_do() {
        let device = "cuda:0 T4".to_owned();
        let failure = Failure::device(&DeviceError::OutOfMemory { device, bytes: 100, free: 10, total: 1000 });
        assert!(failure.why.contains("10 of 1000 are free") && failure.help.contains("nvidia-smi"), "{failure}");
    }

    #[test]
    fn a_missing_file_has_a_code_of_its_own() {
        let error = io::Error::from(io::ErrorKind::NotFound);
        assert_eq!(Failure::file("read", Path::new("/x"), &error).exit, Exit::NotFound);
    }
}
