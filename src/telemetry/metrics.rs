//! Our metrics: one registry, in which every room declares its own.

use std::fmt;
use std::fs;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry;

use super::{REVISION, VERSION};

/// What [`Registry::encode`] writes.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Clock ticks a second in `/proc`: 100 on every architecture that Linux has.
const TICKS_A_SECOND: f64 = 100.0;

/// All metrics of the process. Filled while the parts are built, read at every scrape.
#[derive(Debug)]
pub struct Registry(registry::Registry);

impl Default for Registry {
    fn default() -> Self {
        Self::new()
    }
}

impl Registry {
    /// With the metrics of the process itself: `process_resident_memory_bytes`, `process_cpu_seconds_total` and
    /// `vivace_build_info`.
    pub fn new() -> Self {
        let mut registry = registry::Registry::default();
        let labels = vec![("version", VERSION), ("revision", REVISION.unwrap_or_default())];
        registry.register("vivace_build", "What is running", Info::new(labels));
        registry.register_collector(Box::new(Process));
        Self(registry)
    }

    /// Where a room declares metrics that begin with its name: `registry.room("wal")` and `register("appends", …)` is
    /// `wal_appends_total`.
    pub fn room(&mut self, name: &str) -> &mut registry::Registry {
        self.0.sub_registry_with_prefix(name)
    }

    /// Where metrics with their whole names are declared: those that dashboards know from Tempo.
    pub fn root(&mut self) -> &mut registry::Registry {
        &mut self.0
    }

    /// All metrics as `OpenMetrics` text, to be sent as [`CONTENT_TYPE`].
    pub fn encode(&self) -> String {
        let mut text = String::new();
        let Ok(()) = encode(&mut text, &self.0) else { unreachable!("a String takes all text") };
        text
    }
}

/// Looks at `/proc` at every scrape; says nothing where there is none.
#[derive(Debug)]
struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        if let Some(bytes) = resident_bytes(&status) {
            let gauge = ConstGauge::new(bytes);
            let name = "process_resident_memory_bytes";
            let help = "Memory that the process has in the machine's memory";
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        if let Some(seconds) = cpu_seconds(&stat) {
            let counter = ConstCounter::new(seconds);
            let help = "CPU time of the process, user and system";
            let name = "process_cpu_seconds";
            counter.encode(encoder.encode_descriptor(
                name,
                help,
                None,
                counter.metric_type(),
            )?)?;
        }
        Ok(())
    }
}

/// `VmRSS:     1234 kB`.
fn resident_bytes(status: &str) -> Option<i64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: i64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

/// User and system ticks are the 14th and 15th field; the second is a name in parentheses that may hold spaces.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let user: u32 = fields.next()?.parse().ok()?;
    let system: u32 = fields.next()?.parse().ok()?;
    Some((f64::from(user) + f64::from(system)) / TICKS_A_SECOND)
}

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::counter::Counter;

    use super::*;

    #[test]
    fn rooms_and_the_process_are_in_the_text() {
        let mut registry = Registry::new();
        let appends: Counter = Counter::default();
        registry.room("wal").register("appends", "Appends", appends.clone());
        registry.root().register("tempo_spans", "Spans", Counter::<u64>::default());
        appends.inc();
        let text = registry.encode();
        for part in [
            "wal_appends_total 1\n",
            "tempo_spans_total 0\n",
            &format!("vivace_build_info{{version=\"{VERSION}\",revision="),
            "# EOF\n",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        if cfg!(target_os = "linux") {
            assert!(text.contains("\nprocess_resident_memory_bytes "), "{text}");
            assert!(text.contains("\nprocess_cpu_seconds_total "), "{text}");
        }
    }

    #[test]
    fn proc_is_read_as_the_kernel_writes_it() {
        assert_eq!(resident_bytes("VmHWM:\t 20 kB\nVmRSS:\t    10 kB\n"), Some(10_240));
        assert_eq!(resident_bytes(""), None);
        let stat = "7 (a) b) S 1 7 7 0 -1 4194304 100 0 0 0 150 50 0 0 20 0 9 0 1 2 3";
        assert_eq!(cpu_seconds(stat), Some(2.0));
        assert_eq!(cpu_seconds(""), None);
    }
}
