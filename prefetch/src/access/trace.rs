//! The compact form: what a job was seen to read.
//!
//! After the line [`HEAD`] come records of numbers, each written as LEB128 (seven bits a byte, lowest first, the
//! highest bit set where more follow). A record that begins with 0 names the next file: length and bytes of its
//! path. One that begins with n > 0 is a read of the n-th file named: where it begins, as the distance from the
//! end of the read before it of that file (zigzag: twice the distance, or twice its negation less one), its
//! length, microseconds since the record before it, and the process. In order through one file that is six
//! bytes a read.

use std::collections::HashMap;
use std::io::{self, Write};
use std::time::Duration;

use rfuse_block::ByteRange;

use super::PlanError;

/// The first line, its end included.
pub const HEAD: &str = "# rfuse trace v1\n";

/// A path cannot be longer: object keys end at 1,024 bytes, paths of the kernel at 4,096.
const PATH_MAX: u64 = 4096;

/// One read of a trace.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TracedRead<'a> {
    /// The file's path below the root of the mount.
    pub file: &'a [u8],
    /// What was read.
    pub range: ByteRange,
    /// When, since the trace began.
    pub at: Duration,
    /// By which process.
    pub pid: u32,
}

/// Writes a trace.
#[derive(Debug)]
pub struct TraceWriter<W> {
    out: W,
    files: HashMap<Vec<u8>, (u64, u64)>,
    last: u64,
}

impl<W: Write> TraceWriter<W> {
    /// Begins one.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn new(mut out: W) -> io::Result<Self> {
        out.write_all(HEAD.as_bytes())?;
        Ok(Self { out, files: HashMap::new(), last: 0 })
    }

    /// Adds a read. Times that run backwards count as no time.
    ///
    /// # Errors
    /// Those of the output.
    pub fn add(&mut self, read: &TracedRead<'_>) -> io::Result<()> {
        let mut record = Vec::with_capacity(32);
        let next = self.files.len() as u64 + 1;
        if !self.files.contains_key(read.file) {
            put(&mut record, 0);
            put(&mut record, read.file.len() as u64);
            record.extend_from_slice(read.file);
        }
        let (number, end) = self.files.entry(read.file.to_vec()).or_insert((next, 0));
        put(&mut record, *number);
        put(&mut record, zigzag(read.range.start().wrapping_sub(*end) as i64));
        *end = read.range.end();
        put(&mut record, read.range.length());
        let at = u64::try_from(read.at.as_micros()).unwrap_or(u64::MAX).max(self.last);
        put(&mut record, at - self.last);
        self.last = at;
        put(&mut record, read.pid.into());
        self.out.write_all(&record)
    }

    /// Ends it.
    ///
    /// # Errors
    /// Those of the output.
    pub fn finish(mut self) -> io::Result<W> {
        self.out.flush()?;
        Ok(self.out)
    }
}

/// The reads of a trace; the last item is an error where it is damaged.
pub(super) fn reads(bytes: &[u8]) -> impl Iterator<Item = Result<TracedRead<'_>, PlanError>> {
    let mut reader = Reader { bytes, at: HEAD.len(), files: Vec::new(), now: 0, is_over: false };
    std::iter::from_fn(move || reader.next())
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    files: Vec<(&'a [u8], u64)>,
    now: u64,
    is_over: bool,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Option<Result<TracedRead<'a>, PlanError>> {
        if self.is_over || self.at >= self.bytes.len() {
            return None;
        }
        let begin = self.at;
        let read = self.record();
        self.is_over = read.is_none();
        Some(read.ok_or(PlanError::Damaged(begin)))
    }

    fn record(&mut self) -> Option<TracedRead<'a>> {
        let mut number = self.number()?;
        while number == 0 {
            let length = self.number().filter(|&length| (1..=PATH_MAX).contains(&length))?;
            let path = self.bytes.get(self.at..)?.get(..length as usize)?;
            self.at += path.len();
            self.files.push((path, 0));
            number = self.number()?;
        }
        let (distance, length) = (unzigzag(self.number()?), self.number()?);
        let (pause, pid) = (self.number()?, self.number()?);
        let file = self.files.get_mut(usize::try_from(number - 1).ok()?)?;
        let start = file.1.wrapping_add(distance as u64);
        let end = start.checked_add(length)?;
        file.1 = end;
        self.now = self.now.checked_add(pause)?;
        let range = ByteRange::new(start, end);
        Some(TracedRead { file: file.0, range, at: Duration::from_micros(self.now), pid: u32::try_from(pid).ok()? })
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = *self.bytes.get(self.at)?;
            self.at += 1;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }
}

fn put(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn zigzag(distance: i64) -> u64 {
    (distance << 1 ^ distance >> 63) as u64
}

fn unzigzag(number: u64) -> i64 {
    (number >> 1) as i64 ^ -((number & 1) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::AccessPlan;
    use proptest::prelude::*;

    fn written(of: &[TracedRead<'_>]) -> Vec<u8> {
        let mut writer = TraceWriter::new(Vec::new()).unwrap();
        of.iter().for_each(|read| writer.add(read).unwrap());
        writer.finish().unwrap()
    }

    #[test]
    fn a_read_in_order_takes_six_bytes() {
        let read = |at: u64| TracedRead {
            file: b"log",
            range: ByteRange::at(at * 131_072, 131_072),
            at: Duration::from_micros(at * 90),
            pid: 77,
        };
        let (some, more) = (written(&[read(0), read(1)]), written(&[read(0), read(1), read(2)]));
        assert!(more.len() - some.len() <= 7, "{}", more.len() - some.len());
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(
            records in prop::collection::vec((0usize..3, 0..1u64 << 62, 1u64..1 << 31, 0u64..1 << 40, any::<u32>()), 0..60),
        ) {
            let names: [&[u8]; 3] = [b"a", b"dir/b\n\t", b"\xff"];
            let mut now = 0;
            let reads_in: Vec<TracedRead<'_>> = records.iter().map(|&(file, start, length, pause, pid)| {
                now += pause;
                let (range, at) = (ByteRange::at(start, length), Duration::from_micros(now));
                TracedRead { file: names[file], range, at, pid }
            }).collect();
            let bytes = written(&reads_in);
            let out: Vec<TracedRead<'_>> = reads(&bytes).map(Result::unwrap).collect();
            prop_assert_eq!(&out, &reads_in);
            prop_assert_eq!(AccessPlan::parse(&bytes).unwrap().bytes(), records.iter().map(|it| it.2).sum::<u64>());
        }

        #[test]
        fn a_damaged_trace_is_an_error_and_never_a_panic(junk in prop::collection::vec(any::<u8>(), 0..200)) {
            let bytes = [HEAD.as_bytes(), &junk[..]].concat();
            let _ = AccessPlan::parse(&bytes);
            prop_assert!(reads(&bytes).count() <= junk.len() + 1);
        }
    }
}
