//! Bytes promised ahead of the readers: at most so many, and whoever asks for more is refused, not queued.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How many bytes may be on their way that nobody waits for.
#[derive(Debug)]
pub(crate) struct Budget {
    limit: u64,
    used: AtomicU64,
}

/// Part of the budget, given back when dropped.
#[derive(Debug)]
pub(crate) struct AheadLease {
    budget: Arc<Budget>,
    bytes: u64,
}

impl Budget {
    /// A budget of `limit` bytes.
    pub(crate) fn new(limit: u64) -> Arc<Self> {
        Arc::new(Self { limit, used: AtomicU64::new(0) })
    }

    /// Bytes that are leased now.
    pub(crate) fn leased(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// `bytes` of what is left; none if that is less.
    pub(crate) fn lease(self: &Arc<Self>, bytes: u64) -> Option<AheadLease> {
        let grow = |used: u64| used.checked_add(bytes).filter(|&used| used <= self.limit);
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, grow).ok()?;
        Some(AheadLease { budget: self.clone(), bytes })
    }
}

impl AheadLease {
    /// A lease of `bytes` of this one, which must hold so many.
    pub(crate) fn split(&mut self, bytes: u64) -> Self {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        Self { budget: self.budget.clone(), bytes }
    }
}

impl Drop for AheadLease {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_is_never_overdrawn_and_comes_back() {
        let budget = Budget::new(100);
        let mut first = budget.lease(60).unwrap();
        assert!(budget.lease(41).is_none() && budget.lease(u64::MAX).is_none());
        let part = first.split(20);
        drop(first);
        let rest = budget.lease(80).unwrap();
        assert!(budget.lease(1).is_none());
        drop((part, rest));
        assert!(budget.lease(100).is_some());
    }
}
