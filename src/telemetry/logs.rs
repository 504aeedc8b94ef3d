//! Our logs: one line an event, on standard error.

use std::fmt;
use std::time::SystemTime;

use serde::Deserialize;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::util::TryInitError;

/// The least important events that are logged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    Trace,
    Debug,
    #[default]
    Info,
    Warn,
    Error,
}

/// What a line looks like.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// `ts=… level=info target=vivace::wal msg="segment sealed" segment=3`.
    #[default]
    Logfmt,
    /// One object a line.
    Json,
}

/// Why there are no logs.
#[derive(Debug, thiserror::Error)]
pub enum LogsError {
    #[error("RUST_LOG: {0}")]
    Filter(String),
    #[error("logs are already set up")]
    Twice(#[from] TryInitError),
}

/// Sends the process's events to standard error. `RUST_LOG`, where set, rules over `level`.
///
/// # Errors
/// A filter in `RUST_LOG` that cannot be read; a second call.
pub fn init_logs(level: Level, format: Format) -> Result<(), LogsError> {
    let filter = if std::env::var_os("RUST_LOG").is_some_and(|filter| !filter.is_empty()) {
        EnvFilter::try_from_default_env().map_err(|error| LogsError::Filter(error.to_string()))?
    } else {
        EnvFilter::default().add_directive(level.filter().into())
    };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        Format::Json => builder.json().flatten_event(true).finish().try_init()?,
        Format::Logfmt => builder.event_format(Logfmt).finish().try_init()?,
    }
    Ok(())
}

impl Level {
    fn filter(self) -> tracing_subscriber::filter::LevelFilter {
        match self {
            Self::Trace => tracing::Level::TRACE.into(),
            Self::Debug => tracing::Level::DEBUG.into(),
            Self::Info => tracing::Level::INFO.into(),
            Self::Warn => tracing::Level::WARN.into(),
            Self::Error => tracing::Level::ERROR.into(),
        }
    }
}

/// `key=value`, quoted where it must be.
struct Logfmt;

impl<S, N> FormatEvent<S, N> for Logfmt
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let meta = event.metadata();
        let level = match *meta.level() {
            tracing::Level::ERROR => "error",
            tracing::Level::WARN => "warn",
            tracing::Level::INFO => "info",
            tracing::Level::DEBUG => "debug",
            tracing::Level::TRACE => "trace",
        };
        let time = humantime::format_rfc3339_millis(SystemTime::now());
        write!(writer, "ts={time} level={level} target={}", meta.target())?;
        let mut fields = Fields { writer, result: Ok(()) };
        event.record(&mut fields);
        fields.result?;
        writeln!(fields.writer)
    }
}

struct Fields<'w> {
    writer: Writer<'w>,
    result: fmt::Result,
}

impl Fields<'_> {
    fn write(&mut self, field: &Field, value: &str) {
        let name = if field.name() == "message" { "msg" } else { field.name() };
        let plain =
            |c: char| !c.is_whitespace() && !c.is_control() && !matches!(c, '"' | '=' | '\\');
        let result = if !value.is_empty() && value.chars().all(plain) {
            write!(self.writer, " {name}={value}")
        } else {
            write!(self.writer, " {name}={value:?}")
        };
        self.result = self.result.and(result);
    }
}

impl Visit for Fields<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.write(field, value);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.write(field, &value.to_string());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.write(field, &format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::Arc;

    use parking_lot::Mutex;

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_is_keys_and_values() {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .event_format(Logfmt)
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!(tenant = %"a", key = "x y", bytes = 3, "block \"skipped\"\nhere");
        });
        let text = String::from_utf8(lines.0.lock().clone()).unwrap();
        assert!(text.starts_with("ts=2"), "{text}");
        let end = " level=warn target=vivace::telemetry::logs::tests \
                   msg=\"block \\\"skipped\\\"\\nhere\" tenant=a key=\"x y\" bytes=3\n";
        assert!(text.ends_with(end), "{text}");
    }
}
