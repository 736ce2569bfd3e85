//! A terminal that a live view takes over: another screen, keys without a return, and all as it was at the end.

use std::io::{self, IsTerminal, Read, Write};
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

/// Columns and lines where the terminal does not say.
const USUAL: (usize, usize) = (100, 30);

/// The terminal, until this is dropped.
pub(crate) struct Terminal {
    before: Termios,
}

impl Terminal {
    /// Takes it over; none where input or output is no terminal.
    pub(crate) fn take() -> Option<Self> {
        if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
            return None;
        }
        let before = tcgetattr(io::stdin()).ok()?;
        let mut raw = before.clone();
        raw.local_modes -= LocalModes::ICANON | LocalModes::ECHO;
        tcsetattr(io::stdin(), OptionalActions::Now, &raw).ok()?;
        write("\x1b[?1049h\x1b[?25l");
        Some(Self { before })
    }

    /// Shows `lines` in place of what was there, as many as fit.
    pub(crate) fn show(lines: &[String]) {
        let (_, height) = size();
        let shown: String =
            lines.iter().take(height.saturating_sub(1)).map(|line| format!("{line}\x1b[K\r\n")).collect();
        write(&format!("\x1b[H{shown}\x1b[J"));
    }

    /// The key that is pressed within `time`.
    pub(crate) fn key(time: Duration) -> Option<u8> {
        let stdin = io::stdin();
        let time = Timespec { tv_sec: i64::try_from(time.as_secs()).ok()?, tv_nsec: time.subsec_nanos().into() };
        let mut fds = [PollFd::from_borrowed_fd(stdin.as_fd(), PollFlags::IN)];
        if poll(&mut fds, Some(&time)).ok()? == 0 {
            return None;
        }
        let mut key = [0];
        // The end of the input is the end of the view.
        Some(if stdin.lock().read(&mut key).unwrap_or(0) == 0 { b'q' } else { key[0] })
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        write("\x1b[?25h\x1b[?1049l");
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.before);
    }
}

/// Columns and lines.
pub(crate) fn size() -> (usize, usize) {
    let said = tcgetwinsize(io::stdout()).ok().filter(|size| size.ws_col > 0 && size.ws_row > 0);
    said.map_or(USUAL, |size| (size.ws_col.into(), size.ws_row.into()))
}

fn write(text: &str) {
    let mut out = io::stdout().lock();
    // Whoever closed the terminal sees nothing anyway.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
