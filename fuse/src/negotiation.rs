//! What is taken of what the kernel offers in INIT: decided here, sent elsewhere.

use crate::kernel::WRITE_MAX;
use crate::kernel::abi::{InitIn, InitOut, MAJOR, MINOR, MINOR_MIN, init};
use crate::session::{SessionConfig, SessionError};

/// What is asked for, where the kernel has it. The reasons are figures: `docs/decisions/0011`.
const WANTED: u64 = init::ASYNC_READ
    | init::ATOMIC_O_TRUNC
    | init::BIG_WRITES
    | init::DO_READDIRPLUS
    | init::READDIRPLUS_AUTO
    | init::ASYNC_DIO
    | init::PARALLEL_DIROPS
    | init::MAX_PAGES
    | init::CACHE_SYMLINKS
    | init::EXPLICIT_INVAL_DATA
    | init::INIT_EXT
    | init::DIRECT_IO_ALLOW_MMAP
    | init::HAS_RESEND;
/// Pages of one request: 1 MiB, which is also the kernel's default limit.
const PAGES_MAX: u16 = 256;

/// What the two sides agreed on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Agreement {
    /// Minor version spoken.
    pub minor: u32,
    /// Bits of INIT that both sides know.
    pub flags: u64,
    /// Bytes the kernel reads ahead at most, as far as INIT can say (the kernel's own limit is 128 KiB).
    pub read_ahead: u32,
}

/// How the negotiation goes on.
#[derive(Debug)]
pub(crate) enum Move {
    /// Say this and begin.
    Agree(InitOut, Agreement),
    /// The kernel is of a later major version: say ours, it asks again.
    Lower(InitOut),
}

pub(crate) fn negotiate(offer: &InitIn, flags2: u32, config: &SessionConfig) -> Result<Move, SessionError> {
    let too_old = SessionError::KernelTooOld { major: offer.major, minor: offer.minor };
    match offer.major {
        0..MAJOR => return Err(too_old),
        MAJOR if offer.minor < MINOR_MIN => return Err(too_old),
        MAJOR => {}
        _ => return Ok(Move::Lower(InitOut { major: MAJOR, minor: MINOR, ..InitOut::default() })),
    }
    let mut offered = u64::from(offer.flags);
    if offered & init::INIT_EXT != 0 {
        offered |= u64::from(flags2) << 32;
    }
    let flags = offered & WANTED;
    let minor = offer.minor.min(MINOR);
    let read_ahead = config.read_ahead.min(offer.max_readahead);
    let out = InitOut {
        major: MAJOR,
        minor,
        max_readahead: read_ahead,
        flags: low(flags),
        flags2: low(flags >> 32),
        max_background: config.max_background,
        congestion_threshold: config.max_background - config.max_background / 4,
        max_write: WRITE_MAX,
        time_gran: 1,
        max_pages: PAGES_MAX,
        ..InitOut::default()
    };
    Ok(Move::Agree(out, Agreement { minor, flags, read_ahead }))
}

#[expect(clippy::cast_possible_truncation, reason = "the low half is what is wanted")]
fn low(flags: u64) -> u32 {
    flags as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(major: u32, minor: u32, flags: u32) -> InitIn {
        InitIn { major, minor, max_readahead: 128 << 10, flags }
    }

    #[test]
    fn only_what_is_offered_is_taken() {
        let config = SessionConfig::default();
        let flags = low(init::ASYNC_READ | init::MAX_PAGES | 1 << 16);
        let Move::Agree(out, _) = negotiate(&offer(7, 45, flags), u32::MAX, &config).unwrap() else { panic!() };
        assert_eq!(u64::from(out.flags), init::ASYNC_READ | init::MAX_PAGES);
        assert_eq!(out.flags2, 0, "without INIT_EXT there is no second half");
        assert_eq!((out.max_background, out.congestion_threshold), (512, 384));
        assert_eq!(out.max_readahead, 4096);
    }

    #[test]
    fn a_newer_minor_version_is_spoken_in_ours_and_an_older_in_its_own() {
        let config = SessionConfig::default();
        for (theirs, spoken) in [(99, MINOR), (34, 34)] {
            let Move::Agree(out, _) = negotiate(&offer(7, theirs, 0), 0, &config).unwrap() else { panic!() };
            assert_eq!(out.minor, spoken);
        }
    }

    #[test]
    fn a_newer_major_version_is_asked_to_step_down() {
        let moved = negotiate(&offer(8, 0, 0), 0, &SessionConfig::default()).unwrap();
        assert!(matches!(moved, Move::Lower(InitOut { major: 7, .. })));
    }

    #[test]
    fn a_kernel_before_4_20_is_refused() {
        let error = negotiate(&offer(7, 27, 0), 0, &SessionConfig::default()).unwrap_err();
        assert!(matches!(error, SessionError::KernelTooOld { major: 7, minor: 27 }));
    }
}
