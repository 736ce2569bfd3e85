//! Credentials that change while a mount runs.
//!
//! Every request takes the credential out of one cell, so that putting a new one in is all a renewal is: the
//! connections stay open and no reader notices. What is in the cell has been tested; nothing here prints it.

mod watch;

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use async_trait::async_trait;

use crate::StoreError;

pub(crate) use watch::{INTERVAL, Watched, watch};

/// What asking for a fresh credential came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reloaded {
    /// The source still gives the credential in use.
    Unchanged,
    /// A new one was tested and is in use from now on.
    Swapped,
}

/// The handle by which the rest of the process sees and renews the credential of a store.
#[async_trait]
pub trait CredentialControl: fmt::Debug + Send + Sync {
    /// Where the credential comes from, in words; never the secret.
    fn describe(&self) -> String;

    /// When it stops working, where that is known.
    fn expiry(&self) -> Option<SystemTime>;

    /// Reads the source again; a new credential is tested with a real request before it is used.
    ///
    /// # Errors
    /// `NoCredential` when the source gives none, or what the store said to the new one; the old one stays.
    async fn reload(&self) -> Result<Reloaded, StoreError>;
}

/// The one place where a credential is kept.
pub(crate) struct CredentialCell<T> {
    current: RwLock<Arc<T>>,
}

impl<T> CredentialCell<T> {
    /// A cell that holds `credential`.
    pub(crate) fn new(credential: T) -> Self {
        Self { current: RwLock::new(Arc::new(credential)) }
    }

    /// The credential in use.
    pub(crate) fn get(&self) -> Arc<T> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts another one in; requests that have taken the old one finish with it.
    pub(crate) fn swap(&self, credential: T) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(credential);
    }
}

impl<T> fmt::Debug for CredentialCell<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CredentialCell(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_swap_leaves_the_old_one_to_those_who_hold_it() {
        let cell = CredentialCell::new("old");
        let held = cell.get();
        cell.swap("new");
        assert_eq!((*held, *cell.get()), ("old", "new"));
        assert_eq!(format!("{cell:?}"), "CredentialCell(***)");
    }
}
