//! What may be done on a thread that must not wait and has others to serve.
//!
//! Such a thread begins a read: it looks for the blocks, claims them, and hands what is on disk to a thread that
//! may wait. A GET it leaves to the runtime, whose threads wake each other at less cost. Whoever polls learns
//! whether the read waits for the disk alone.

use std::cell::Cell;
use std::future::poll_fn;
use std::task::Poll;

thread_local! {
    static AT_DOOR: Cell<bool> = const { Cell::new(false) };
    static FOR_DISK: Cell<bool> = const { Cell::new(false) };
}

/// Does `poll`, which polls a read; also whether the disk was asked for something meanwhile.
pub fn poll_at_door<T>(poll: impl FnOnce() -> T) -> (T, bool) {
    let before = (AT_DOOR.replace(true), FOR_DISK.replace(false));
    let polled = poll();
    AT_DOOR.set(before.0);
    (polled, FOR_DISK.replace(before.1))
}

/// The disk was asked for something.
pub(crate) fn waits_for_disk() {
    FOR_DISK.set(true);
}

/// Gives way once where a GET should not be begun.
pub(crate) async fn leave() {
    let mut has_left = false;
    poll_fn(|context| {
        if has_left || !AT_DOOR.get() {
            return Poll::Ready(());
        }
        has_left = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[test]
    fn a_get_gives_way_at_the_door_and_nowhere_else() {
        assert_eq!(leave().now_or_never(), Some(()));
        let (left, for_disk) = poll_at_door(|| leave().now_or_never());
        assert_eq!((left, for_disk), (None, false));
        assert_eq!(poll_at_door(waits_for_disk), ((), true));
        assert_eq!(leave().now_or_never(), Some(()));
    }
}
