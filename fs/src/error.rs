//! One table from what went wrong to what the program hears.

use rfuse_block::ObjectKey;
use rfuse_cache::CacheError;
use rfuse_store::{StoreError, StoreErrorKind};
use thiserror::Error;

/// An error number as the kernel knows it.
pub type Errno = rustix::io::Errno;

/// A failed operation.
#[derive(Debug, Error)]
pub enum FsError {
    /// No such file or directory.
    #[error("no such file or directory")]
    NotFound,
    /// A directory was needed.
    #[error("not a directory")]
    NotADirectory,
    /// A file was needed.
    #[error("is a directory")]
    IsADirectory,
    /// The mount is read-only.
    #[error("the mount is read-only")]
    ReadOnly,
    /// The inode or handle is not known (any more).
    #[error("unknown inode or handle {0}")]
    Unknown(u64),
    /// The name is longer than a file name may be, or cannot exist here.
    #[error("no file can have this name")]
    BadName,
    /// The extended attribute does not exist.
    #[error("no such attribute")]
    NoAttribute,
    /// Extended attributes are more than an object's metadata holds.
    #[error("the store keeps no more than about 1,300 bytes of extended attributes with an object")]
    NoRoomForAttributes,
    /// This is not done here.
    #[error("{0} is not supported")]
    Unsupported(&'static str),
    /// A parameter makes no sense.
    #[error("invalid argument: {0}")]
    Invalid(&'static str),
    /// The mode bits forbid it.
    #[error("permission denied")]
    Denied,
    /// The object is not the one that was opened.
    #[error("{0} changed in the store since it was opened")]
    Stale(ObjectKey),
    /// The name is taken.
    #[error("the name exists already")]
    Exists,
    /// A directory that holds something cannot go.
    #[error("the directory is not empty")]
    NotEmpty,
    /// The descriptor was not opened for writing.
    #[error("the descriptor was not opened for writing")]
    NotForWriting,
    /// This mount or store does not let anybody do this.
    #[error("{0}")]
    NotPermitted(&'static str),
    /// The bytes are at the store only, in an upload that is not complete.
    #[error(
        "this part of the file was sent and no longer fits on local disk; raise --spool-max, or close the file first"
    )]
    SentAway,
    /// No object can be so large.
    #[error("no object can be so large")]
    TooLarge,
    /// Local disk failed.
    #[error("the spool: {0}")]
    Spool(std::io::Error),
    /// No answer within the deadline.
    #[error("no answer from the store within {0:?}")]
    Deadline(std::time::Duration),
    /// The caller gave up.
    #[error("interrupted")]
    Interrupted,
    /// The store said no.
    #[error(transparent)]
    Store(std::sync::Arc<StoreError>),
}

impl FsError {
    /// What the program hears.
    pub fn errno(&self) -> Errno {
        match self {
            Self::NotFound => Errno::NOENT,
            Self::NotADirectory => Errno::NOTDIR,
            Self::IsADirectory => Errno::ISDIR,
            Self::ReadOnly => Errno::ROFS,
            Self::Unknown(_) | Self::Stale(_) => Errno::STALE,
            Self::BadName => Errno::NAMETOOLONG,
            Self::NoAttribute => Errno::NODATA,
            Self::NoRoomForAttributes => Errno::NOSPC,
            Self::Unsupported(_) => Errno::OPNOTSUPP,
            Self::Invalid(_) => Errno::INVAL,
            Self::Denied => Errno::ACCESS,
            Self::Exists => Errno::EXIST,
            Self::NotEmpty => Errno::NOTEMPTY,
            Self::NotForWriting => Errno::BADF,
            Self::NotPermitted(_) => Errno::PERM,
            Self::TooLarge => Errno::FBIG,
            Self::SentAway => Errno::OPNOTSUPP,
            Self::Spool(error) => match Errno::from_io_error(error) {
                Some(errno @ (Errno::NOSPC | Errno::DQUOT)) => errno,
                _ => Errno::IO,
            },
            Self::Deadline(_) => Errno::IO,
            Self::Interrupted => Errno::INTR,
            Self::Store(error) => errno_of(error.kind),
        }
    }
}

fn errno_of(kind: StoreErrorKind) -> Errno {
    use StoreErrorKind as Kind;
    match kind {
        Kind::NotFound | Kind::NoContainer => Errno::NOENT,
        Kind::Denied | Kind::Expired | Kind::BadCredential | Kind::NoCredential | Kind::ClockSkew => Errno::ACCESS,
        Kind::Changed => Errno::STALE,
        Kind::Exists => Errno::EXIST,
        Kind::BadName => Errno::INVAL,
        Kind::Unsupported => Errno::OPNOTSUPP,
        Kind::Full => Errno::NOSPC,
        Kind::NoHost
        | Kind::PastEnd
        | Kind::Throttled
        | Kind::Unavailable
        | Kind::Unreachable
        | Kind::Tls
        | Kind::Cut
        | Kind::TimedOut
        | Kind::Malformed
        | Kind::WrongEndpoint
        | Kind::Other => Errno::IO,
    }
}

/// Bytes of a key that every store takes; of a longer one that is refused, the length is what is wrong with it.
const KEY_MAX: usize = 1024;

impl From<CacheError> for FsError {
    fn from(error: CacheError) -> Self {
        match error {
            CacheError::Store(error) => Self::from(error),
        }
    }
}

impl From<std::sync::Arc<StoreError>> for FsError {
    fn from(error: std::sync::Arc<StoreError>) -> Self {
        match (&error.key, error.kind) {
            (Some(key), StoreErrorKind::Changed) => Self::Stale(key.clone()),
            (Some(key), StoreErrorKind::BadName) if key.as_bytes().len() > KEY_MAX => Self::BadName,
            _ => Self::Store(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rfuse_store::Operation;
    use std::time::Duration;

    fn store(kind: StoreErrorKind) -> FsError {
        std::sync::Arc::new(StoreError::new(kind, Operation::Get, "in a test").about(&ObjectKey::from("k"))).into()
    }

    #[test]
    fn a_key_no_store_is_long_enough_for_is_a_name_too_long() {
        let refused = |key: &[u8]| {
            let error = StoreError::new(StoreErrorKind::BadName, Operation::Put, "in a test");
            FsError::from(std::sync::Arc::new(error.about(&ObjectKey::new(key)))).errno()
        };
        assert_eq!(refused(&[b'a'; 1025]), Errno::NAMETOOLONG);
        assert_eq!(refused(b"\xff"), Errno::INVAL);
    }

    #[test]
    fn every_failure_has_its_error_number() {
        use StoreErrorKind as Kind;
        let table = [
            (FsError::NotFound, Errno::NOENT),
            (FsError::NotADirectory, Errno::NOTDIR),
            (FsError::IsADirectory, Errno::ISDIR),
            (FsError::ReadOnly, Errno::ROFS),
            (FsError::Unknown(7), Errno::STALE),
            (FsError::BadName, Errno::NAMETOOLONG),
            (FsError::NoAttribute, Errno::NODATA),
            (FsError::Unsupported("locking"), Errno::OPNOTSUPP),
            (FsError::Invalid("whence"), Errno::INVAL),
            (FsError::Denied, Errno::ACCESS),
            (FsError::Exists, Errno::EXIST),
            (FsError::NotEmpty, Errno::NOTEMPTY),
            (FsError::NotForWriting, Errno::BADF),
            (FsError::NotPermitted("hard links"), Errno::PERM),
            (FsError::TooLarge, Errno::FBIG),
            (FsError::Spool(Errno::NOSPC.into()), Errno::NOSPC),
            (FsError::Spool(Errno::ROFS.into()), Errno::IO),
            (FsError::Stale(ObjectKey::from("k")), Errno::STALE),
            (FsError::Deadline(Duration::from_secs(30)), Errno::IO),
            (FsError::Interrupted, Errno::INTR),
            (store(Kind::NotFound), Errno::NOENT),
            (store(Kind::NoContainer), Errno::NOENT),
            (store(Kind::NoHost), Errno::IO),
            (store(Kind::Denied), Errno::ACCESS),
            (store(Kind::Expired), Errno::ACCESS),
            (store(Kind::BadCredential), Errno::ACCESS),
            (store(Kind::NoCredential), Errno::ACCESS),
            (store(Kind::ClockSkew), Errno::ACCESS),
            (store(Kind::Changed), Errno::STALE),
            (store(Kind::Exists), Errno::EXIST),
            (store(Kind::PastEnd), Errno::IO),
            (store(Kind::Throttled), Errno::IO),
            (store(Kind::Unavailable), Errno::IO),
            (store(Kind::Unreachable), Errno::IO),
            (store(Kind::Tls), Errno::IO),
            (store(Kind::Cut), Errno::IO),
            (store(Kind::TimedOut), Errno::IO),
            (store(Kind::Malformed), Errno::IO),
            (store(Kind::WrongEndpoint), Errno::IO),
            (store(Kind::BadName), Errno::INVAL),
            (store(Kind::Unsupported), Errno::OPNOTSUPP),
            (store(Kind::Full), Errno::NOSPC),
            (store(Kind::Other), Errno::IO),
        ];
        for (error, errno) in table {
            assert_eq!(error.errno(), errno, "{error:?}");
        }
    }
}
