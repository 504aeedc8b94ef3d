//! Our own logs and metrics.

mod logs;
mod metrics;

use std::sync::LazyLock;

pub use self::logs::{Format, Level, LogsError, init_logs};
pub use self::metrics::{CONTENT_TYPE, Registry};

/// As in `Cargo.toml`.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Of the source, if the build was told by `VIVACE_REVISION`.
pub const REVISION: Option<&str> = option_env!("VIVACE_REVISION");

/// `0.1.0 (revision 1a2b3c4)`.
pub fn version_and_revision() -> &'static str {
    static TEXT: LazyLock<String> = LazyLock::new(|| match REVISION {
        Some(revision) => format!("{VERSION} (revision {revision})"),
        None => VERSION.to_owned(),
    });
    &TEXT
}
