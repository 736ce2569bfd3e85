//! Opens a file and reads its first byte, in a pod: how long that took, to the microsecond.
//!
//! A shell cannot say: starting a program costs it more than the read, and its clocks tick every 10 ms.

use std::fs::File;
use std::io::Read;
use std::time::Instant;

fn main() -> std::io::Result<()> {
    let path = std::env::args_os().nth(1).ok_or_else(|| std::io::Error::other("first-byte FILE"))?;
    let begun = Instant::now();
    let mut byte = [0];
    File::open(path)?.read_exact(&mut byte)?;
    let took = begun.elapsed();
    // Since the machine started, so that whoever made the pod can tell how long it all took.
    let uptime = std::fs::read_to_string("/proc/uptime")?;
    #[expect(clippy::print_stdout, reason = "the figures are this program's output")]
    {
        println!("{} {}", took.as_micros(), uptime.split(' ').next().unwrap_or_default());
    }
    Ok(())
}
