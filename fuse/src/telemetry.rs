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

/// Starts the log of this process. A second call does nothing.
///
/// # Errors
/// When the log file cannot be opened.
pub(crate) fn start(options: &LogOptions) -> io::Result<()> {
    let sink = match &options.file {
        Some(path) => Sink::File(Mutex::new(OpenOptions::new().append(true).create(true).mode(0o600).open(path)?)),
        None => Sink::Stderr,
    };
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

/// Where lines go.
enum Sink {
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
        let line = escape(event);
        match self.0 {
            Sink::Stderr => io::stderr().lock().write_all(line.as_bytes())?,
            Sink::File(file) => file.lock().unwrap_or_else(PoisonError::into_inner).write_all(line.as_bytes())?,
        }
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn escape(event: &[u8]) -> String {
    let text = String::from_utf8_lossy(event);
    let mut line = crate::outcome::one_line(text.strip_suffix('\n').unwrap_or(&text));
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line_whatever_it_holds() {
        assert_eq!(escape(b"lookup a\nb \x1b[2J\n"), "lookup a\\nb \\u{1b}[2J\n");
    }

    #[test]
    fn levels_are_those_of_syslog() {
        assert_eq!([Level::ERROR, Level::WARN, Level::INFO, Level::DEBUG].map(syslog_level), [3, 4, 6, 7]);
    }
}
