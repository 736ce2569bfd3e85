//! An answer that is there, or one to wait for.
//!
//! What memory can answer is answered on the asking thread: a hop through the async runtime costs 30 to 45 %
//! of the small reads a second. Only what needs the store becomes a future.

use std::fmt;

use futures_util::future::BoxFuture;

use crate::FsError;

/// The outcome of an operation, now or later.
pub enum Answer<T> {
    /// Known already.
    Ready(Result<T, FsError>),
    /// The store has to be asked. Dropping the future gives the operation up.
    Pending(BoxFuture<'static, Result<T, FsError>>),
}

impl<T> Answer<T> {
    /// Waits where waiting is needed; for callers that are async anyway.
    ///
    /// # Errors
    /// Those of the operation.
    pub async fn wait(self) -> Result<T, FsError> {
        match self {
            Self::Ready(result) => result,
            Self::Pending(future) => future.await,
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for Answer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ready(result) => f.debug_tuple("Ready").field(result).finish(),
            Self::Pending(_) => f.write_str("Pending"),
        }
    }
}
