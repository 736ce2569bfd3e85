//! Why a program got an error: one line in the log, at most once a second for the same reason.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rfuse_fs::FsError;

use crate::kernel::Opcode;

const PAUSE: Duration = Duration::from_secs(1);

/// What was logged when. Bound: one entry for each operation and errno.
#[derive(Debug, Default)]
pub(crate) struct Complaints {
    seen: Mutex<HashMap<(Option<Opcode>, i32), Seen>>,
}

#[derive(Debug)]
struct Seen {
    logged: Instant,
    unsaid: u64,
}

impl Complaints {
    /// Logs that `operation` on `node` failed with `error`.
    pub(crate) fn note(&self, operation: Option<Opcode>, node: u64, error: &FsError) {
        let name = operation.map_or("unknown", Opcode::as_str);
        if is_everyday(error) {
            tracing::debug!(operation = name, node, %error, "refused");
            return;
        }
        let errno = error.errno();
        if let Some(unsaid) = self.admit((operation, errno.raw_os_error()), Instant::now()) {
            tracing::warn!(operation = name, node, %errno, %error, unsaid, "failed");
        }
    }

    /// Whether to log now, and how many of the same were not logged since the last time.
    fn admit(&self, reason: (Option<Opcode>, i32), now: Instant) -> Option<u64> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(entry) = seen.get_mut(&reason) else {
            seen.insert(reason, Seen { logged: now, unsaid: 0 });
            return Some(0);
        };
        if now.duration_since(entry.logged) < PAUSE {
            entry.unsaid += 1;
            return None;
        }
        entry.logged = now;
        Some(std::mem::take(&mut entry.unsaid))
    }
}

/// Answers that programs ask for all day; they say nothing about the mount's health.
fn is_everyday(error: &FsError) -> bool {
    matches!(
        error,
        FsError::NotFound
            | FsError::NotADirectory
            | FsError::IsADirectory
            | FsError::NoAttribute
            | FsError::BadName
            | FsError::ReadOnly
            | FsError::Unsupported(_)
            | FsError::Denied
            | FsError::Interrupted
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_reason_is_logged_once_a_second_with_a_count() {
        let complaints = Complaints::default();
        let start = Instant::now();
        let read = (Some(Opcode::Read), 5);
        assert_eq!(complaints.admit(read, start), Some(0));
        assert_eq!(complaints.admit(read, start + PAUSE / 2), None);
        assert_eq!(complaints.admit(read, start + PAUSE / 2), None);
        assert_eq!(complaints.admit((Some(Opcode::Open), 5), start + PAUSE / 2), Some(0), "another reason");
        assert_eq!(complaints.admit(read, start + PAUSE), Some(2));
        assert_eq!(complaints.admit(read, start + PAUSE * 3), Some(0));
    }
}
