//! The log: one event, one line, whatever a name contains.
//!
//! Text for people, JSON on request, and `<N>` levels in front where systemd reads standard error.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::{Mutex, PoisonError};

use rfuse_config::{LogFormat, LogOptions};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::{Format, Full, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::registry::LookupSpan;

use crate::outcome::{breaks_line, one_line};

/// Starts the log of this process. A second call does nothing.
///
/// # Errors
/// When the log file cannot be opened.
pub(crate) fn start(options: &LogOptions) -> io::Result<()> {
    let target = match &options.file {
        Some(path) => Target::File(Mutex::new(OpenOptions::new().append(true).create(true).mode(0o600).open(path)?)),
        None => Target::Stderr,
    };
    let escape = if options.format == LogFormat::Json { escape_json } else { escape_text };
    let sink = Sink { target, escape };
    // Our own rooms at the level asked for; libraries below only when something is wrong.
    let filter = EnvFilter::new(format!("warn,rfuse={}", options.level));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(sink).with_ansi(false);
    let journal = std::env::var_os("JOURNAL_STREAM").is_some() && options.file.is_none();
    let started = match options.format {
        LogFormat::Json => builder.json().try_init(),
        LogFormat::Auto if journal => {
            builder.event_format(Journal(Format::default().without_time().with_ansi(false))).try_init()
        }
        LogFormat::Auto | LogFormat::Text => builder.try_init(),
    };
    drop(started);
    Ok(())
}

/// Puts systemd's `<N>` in front of a line; journald knows the time itself.
struct Journal(Format<Full, ()>);

impl<S, N> FormatEvent<S, N> for Journal
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        write!(writer, "<{}>", syslog_level(*event.metadata().level()))?;
        self.0.format_event(context, writer, event)
    }
}

fn syslog_level(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    }
}

/// Where lines go, and how what would break or disguise one is written in them.
struct Sink {
    target: Target,
    escape: fn(&[u8]) -> String,
}

enum Target {
    Stderr,
    File(Mutex<File>),
}

impl<'a> MakeWriter<'a> for Sink {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line(self)
    }
}

/// Takes one event a call, as the formatter hands it over, and writes it as one line.
struct Line<'a>(&'a Sink);

impl Write for Line<'_> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let line = (self.0.escape)(event);
        match &self.0.target {
            Target::Stderr => io::stderr().lock().write_all(line.as_bytes())?,
            Target::File(file) => file.lock().unwrap_or_else(PoisonError::into_inner).write_all(line.as_bytes())?,
        }
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn escape_text(event: &[u8]) -> String {
    let text = String::from_utf8_lossy(event);
    let mut line = one_line(text.strip_suffix('\n').unwrap_or(&text));
    line.push('\n');
    line
}

/// JSON has its own way to write these characters, and they only ever stand inside its strings.
fn escape_json(event: &[u8]) -> String {
    let text = String::from_utf8_lossy(event);
    let mut line = String::with_capacity(text.len() + 1);
    for c in text.strip_suffix('\n').unwrap_or(&text).chars() {
        if breaks_line(c) { line.push_str(&format!("\\u{:04x}", u32::from(c))) } else { line.push(c) }
    }
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line_whatever_it_holds() {
        assert_eq!(escape_text(b"lookup a\nb \x1b[2J\n"), "lookup a\\nb \\u{1b}[2J\n");
    }

    #[test]
    fn json_stays_json_whatever_it_holds() {
        let name = "a\nb\u{7f}\u{85}\u{2028}\u{202e}\"\\";
        let event = serde_json::to_vec(&serde_json::json!({ "name": name })).unwrap();
        let line = escape_json(&[&event[..], b"\n"].concat());
        assert!(line.lines().count() == 1 && line.trim_end().chars().all(|c| !breaks_line(c)), "{line}");
        let read: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(read["name"], name);
    }

    #[test]
    fn levels_are_those_of_syslog() {
        assert_eq!([Level::ERROR, Level::WARN, Level::INFO, Level::DEBUG].map(syslog_level), [3, 4, 6, 7]);
    }
}
