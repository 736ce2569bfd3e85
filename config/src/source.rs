//! Where a value came from.

use std::fmt;
use std::path::PathBuf;

/// The place a value was written in, in rising order of precedence.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Source {
    /// Nobody wrote it.
    Default,
    /// The profile that was chosen, by name.
    Profile(String),
    /// A configuration file, and the line counted from 1.
    File {
        /// The file.
        path: PathBuf,
        /// The line.
        line: usize,
    },
    /// An environment variable, by name.
    Environment(String),
    /// The URL of the mount.
    Url,
    /// A flag of the command line, without its dashes.
    Flag(String),
    /// A word of `-o`, as mount(8) and fstab pass it.
    MountOption(String),
    /// An attribute of a Kubernetes volume.
    Attribute(String),
}

impl Source {
    /// Its layer: a value of a higher layer wins.
    pub fn rank(&self) -> u8 {
        match self {
            Self::Default | Self::Profile(_) => 0,
            Self::File { .. } => 1,
            Self::Environment(_) => 2,
            Self::Url | Self::Flag(_) | Self::MountOption(_) | Self::Attribute(_) => 3,
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Profile(name) => write!(f, "profile {name}"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Url => f.write_str("the URL"),
            Self::Flag(name) => write!(f, "--{name}"),
            Self::MountOption(name) => write!(f, "-o {name}"),
            Self::Attribute(name) => write!(f, "volume attribute {name}"),
        }
    }
}
