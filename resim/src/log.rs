//! A recorded drive, read as replayers read it: the index at the end first, then chunks by position.
//!
//! Chunks are read with `pread` into memory of their own, checked, and only then taken apart; reading and taking
//! apart are two calls, so that they can be two threads.

mod chunk;

pub(crate) use chunk::{Content, ContentError, Record, take_apart};

use std::collections::BTreeMap;
use std::fs::File;
use std::io::SeekFrom;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use mcap::McapError;
use mcap::sans_io::{SummaryReadEvent, SummaryReader, SummaryReaderOptions};

use crate::message::Layout;
use crate::outcome::{Exit, Failure};

/// What an MCAP file begins and ends with.
const MAGIC: [u8; 8] = [0x89, b'M', b'C', b'A', b'P', b'0', b'\r', b'\n'];
/// A summary longer than this is taken for damage.
const SUMMARY_MOST: usize = 1 << 30;
/// A chunk longer than this is not read.
const CHUNK_MOST: u64 = 1 << 30;

/// A channel of a log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Topic {
    pub(crate) name: String,
    /// What it holds, if that is understood here.
    pub(crate) layout: Option<Layout>,
}

/// A chunk record, as the index tells of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Chunk {
    /// Where the record begins in the file.
    pub(crate) offset: u64,
    /// Its bytes, head included.
    pub(crate) length: u64,
    /// Log time of its first and last message, in nanoseconds.
    pub(crate) start: u64,
    pub(crate) end: u64,
    /// The channels that have messages in it; empty when the index does not say.
    pub(crate) channels: Vec<u16>,
}

/// An open log with its index.
#[derive(Debug)]
pub(crate) struct LogFile {
    path: PathBuf,
    file: File,
    topics: BTreeMap<u16, Topic>,
    chunks: Vec<Chunk>,
    start: u64,
    /// Where the reads of opening it were, and how long.
    opening: Vec<(u64, u64)>,
}

/// Which part of a log is wanted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Window {
    /// Nanoseconds after the log's first message.
    pub(crate) from: u64,
    pub(crate) to: u64,
    /// Topics that are wanted; all of them when there are none.
    pub(crate) topics: Vec<String>,
}

impl Window {
    /// All of a log.
    #[cfg(test)]
    pub(crate) fn all() -> Self {
        Self { from: 0, to: u64::MAX, topics: Vec::new() }
    }

    /// Whether a topic is wanted.
    pub(crate) fn wants(&self, topic: &str) -> bool {
        self.topics.is_empty() || self.topics.iter().any(|wanted| wanted == topic)
    }
}

impl LogFile {
    /// Opens a log and reads its index.
    ///
    /// # Errors
    /// It is no log, ends too early, or has no index.
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        let file = File::open(path).map_err(|error| Failure::file("open", path, &error))?;
        let size = file.metadata().map_err(|error| Failure::file("open", path, &error))?.len();
        check_ends(path, &file, size)?;
        let mut opening = vec![(0, MAGIC.len() as u64), (size - MAGIC.len() as u64, MAGIC.len() as u64)];
        let summary = read_summary(path, &file, size, &mut opening)?;
        let topics = summary.channels.iter().map(|(id, channel)| {
            let schema = channel.schema.as_ref().map_or("", |schema| schema.name.as_str());
            let layout = Layout::of(schema, &channel.message_encoding);
            (*id, Topic { name: channel.topic.clone(), layout })
        });
        let topics = topics.collect();
        let mut chunks: Vec<Chunk> = summary
            .chunk_indexes
            .iter()
            .map(|index| Chunk {
                offset: index.chunk_start_offset,
                length: index.chunk_length,
                start: index.message_start_time,
                end: index.message_end_time,
                channels: index.message_index_offsets.keys().copied().collect(),
            })
            .collect();
        let outside = |chunk: &Chunk| {
            chunk.length > CHUNK_MOST || chunk.offset.checked_add(chunk.length).is_none_or(|end| end > size)
        };
        if let Some(chunk) = chunks.iter().find(|chunk| outside(chunk)) {
            let why = format!(
                "its index points to {} bytes at {}, and the file has {size} bytes",
                chunk.length, chunk.offset
            );
            return Err(damaged(path, why));
        }
        let messages = summary.stats.as_ref().map(|stats| stats.message_count);
        if chunks.is_empty() && messages != Some(0) {
            let help = "write an indexed copy with `mcap recover IN -o OUT`, or record with chunks and their index";
            let why = "it has no index of chunks, so nothing says where its messages are";
            return Err(Failure::new(Exit::Failed, format!("replay {}", path.display()), why, help));
        }
        chunks.sort_by_key(|chunk| (chunk.start, chunk.offset));
        // A chunk without messages begins at zero.
        let start = match &summary.stats {
            Some(stats) if stats.message_count > 0 => stats.message_start_time,
            _ => chunks.iter().map(|chunk| chunk.start).find(|start| *start > 0).unwrap_or(0),
        };
        Ok(Self { path: path.to_path_buf(), file, topics, chunks, start, opening })
    }

    /// Its channels by number.
    pub(crate) fn topics(&self) -> &BTreeMap<u16, Topic> {
        &self.topics
    }

    /// Its chunks in the order of their first messages.
    pub(crate) fn chunks(&self) -> &[Chunk] {
        &self.chunks
    }

    /// The reads that opening it took, in their order: offset and length.
    pub(crate) fn opening(&self) -> &[(u64, u64)] {
        &self.opening
    }

    /// Log time of its first message.
    pub(crate) fn start(&self) -> u64 {
        self.start
    }

    /// The chunks that hold what a window wants, in order.
    pub(crate) fn select(&self, window: &Window) -> Vec<Chunk> {
        let start = self.start;
        let (from, to) = (start.saturating_add(window.from), start.saturating_add(window.to));
        let wanted = |id: &u16| self.topics.get(id).is_some_and(|topic| window.wants(&topic.name));
        let holds = |chunk: &&Chunk| {
            let in_time = chunk.end >= from && chunk.start < to;
            in_time && (chunk.channels.is_empty() || chunk.channels.iter().any(wanted))
        };
        self.chunks.iter().filter(holds).cloned().collect()
    }

    /// Reads bytes at a position.
    ///
    /// # Errors
    /// The volume fails, or the file ends before them.
    pub(crate) fn read(&self, offset: u64, length: u64) -> Result<Vec<u8>, Failure> {
        let mut bytes = vec![0; length as usize];
        match self.file.read_exact_at(&mut bytes, offset) {
            Ok(()) => Ok(bytes),
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                Err(damaged(&self.path, format!("it ends before the {length} bytes at {offset} that its index names")))
            }
            Err(error) => Err(Failure::file("read", &self.path, &error)),
        }
    }
}

/// Says whether this is a log at all, and whether it is whole.
fn check_ends(path: &Path, file: &File, size: u64) -> Result<(), Failure> {
    let mut magic = [0; MAGIC.len()];
    let length = MAGIC.len() as u64;
    let mut at = |offset: u64| {
        file.read_exact_at(&mut magic, offset).map(|()| magic == MAGIC).map_err(|e| Failure::file("read", path, &e))
    };
    if size < length || !at(0)? {
        let why = "it does not begin as an MCAP file does";
        let help = "give MCAP files; `ros2 bag convert` and `mcap convert` make them of other recordings";
        return Err(Failure::new(Exit::Failed, format!("replay {}", path.display()), why, help));
    }
    if size < 2 * length || !at(size - length)? {
        let why = format!("it is truncated: its {size} bytes do not end as an MCAP file does");
        return Err(damaged(path, why));
    }
    Ok(())
}

fn read_summary(path: &Path, file: &File, size: u64, reads: &mut Vec<(u64, u64)>) -> Result<mcap::Summary, Failure> {
    let failed = |error: McapError| match error {
        McapError::Io(error) => Failure::file("read", path, &error),
        other => damaged(path, format!("its index is damaged: {other}")),
    };
    let options = SummaryReaderOptions::default().with_file_size(size).with_record_length_limit(SUMMARY_MOST);
    let mut reader = SummaryReader::new_with_options(options);
    let mut position = 0;
    while let Some(event) = reader.next_event() {
        match event.map_err(failed)? {
            SummaryReadEvent::ReadRequest(wanted) => {
                let count = file.read_at(reader.insert(wanted), position);
                let count = count.map_err(|error| Failure::file("read", path, &error))?;
                reader.notify_read(count);
                reads.extend((count > 0).then_some((position, count as u64)));
                position += count as u64;
            }
            SummaryReadEvent::SeekRequest(to) => {
                position = match to {
                    SeekFrom::Start(offset) => offset,
                    SeekFrom::End(offset) => size.saturating_add_signed(offset),
                    SeekFrom::Current(offset) => position.saturating_add_signed(offset),
                };
                reader.notify_seeked(position);
            }
        }
    }
    Ok(reader.finish().unwrap_or_default())
}

fn damaged(path: &Path, why: impl Into<String>) -> Failure {
    let help = "copy it again and compare its SHA-256 with the source; `mcap recover IN -o OUT` saves what is whole";
    Failure::new(Exit::Failed, format!("replay {}", path.display()), why, help)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// A log of `messages` messages a second apart on two topics, in chunks of about two messages.
    pub(crate) fn sample(path: &Path, messages: u64, options: mcap::WriteOptions) {
        let file = std::io::BufWriter::new(File::create(path).unwrap());
        let mut writer = options.compression(None).chunk_size(Some(1000)).create(file).unwrap();
        let truth = writer.add_schema("rfuse_resim/Truth", "jsonschema", b"{}").unwrap();
        let ids = ["/a", "/b"].map(|topic| writer.add_channel(truth, topic, "json", &BTreeMap::new()).unwrap());
        for index in 0..messages {
            let header = mcap::records::MessageHeader {
                channel_id: ids[(index / 4 % 2) as usize],
                sequence: index as u32,
                log_time: 1_000_000_000 * (index + 1),
                publish_time: 0,
            };
            let text = format!("{{\"objects\":[]}}{}", " ".repeat(500));
            writer.write_to_known_channel(&header, text.as_bytes()).unwrap();
        }
        writer.finish().unwrap();
    }

    fn failure(path: &Path) -> String {
        LogFile::open(path).unwrap_err().to_string()
    }

    #[test]
    fn a_window_selects_the_chunks_that_hold_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.mcap");
        sample(&path, 16, mcap::WriteOptions::new());
        let log = LogFile::open(&path).unwrap();
        assert_eq!(log.select(&Window::all()).len(), 8);
        let window = Window { from: 4_000_000_000, to: 6_000_000_000, topics: Vec::new() };
        assert_eq!(log.select(&window).len(), 1);
        let window = Window { topics: vec!["/b".to_owned()], ..Window::all() };
        assert_eq!(log.select(&window).len(), 4);
    }

    #[test]
    fn the_reads_of_opening_a_log_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.mcap");
        sample(&path, 16, mcap::WriteOptions::new());
        let (size, log) = (std::fs::metadata(&path).unwrap().len(), LogFile::open(&path).unwrap());
        assert_eq!(log.opening()[..2], [(0, 8), (size - 8, 8)]);
        assert!(log.opening().len() > 2, "the summary was read without a read");
        assert!(log.opening().iter().all(|(offset, length)| offset + length <= size));
    }

    #[test]
    fn a_truncated_log_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.mcap");
        sample(&path, 16, mcap::WriteOptions::new());
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
        assert!(failure(&path).contains("truncated"));
        std::fs::write(&path, b"no log at all").unwrap();
        assert!(failure(&path).contains("does not begin"));
        std::fs::write(&path, b"").unwrap();
        assert!(failure(&path).contains("does not begin"));
    }

    #[test]
    fn a_log_without_an_index_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.mcap");
        sample(&path, 4, mcap::WriteOptions::new().emit_chunk_indexes(false));
        assert!(failure(&path).contains("no index"), "{}", failure(&path));
        sample(&path, 4, mcap::WriteOptions::new().emit_summary_records(false).emit_summary_offsets(false));
        assert!(failure(&path).contains("no index"), "{}", failure(&path));
    }
}
