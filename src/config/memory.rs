//! `memory`: how much of the machine the process may use.

use std::fs;

use bytesize::ByteSize;
use serde::de::{Error as _, Unexpected};
use serde::{Deserialize, Deserializer};

/// Where neither the machine nor its container says what it has.
const UNKNOWN_MACHINE_BYTES: u64 = 2 << 30;

/// `memory` in `tempo.yaml`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Memory {
    /// 0: half of the machine or of the container's limit.
    #[serde(deserialize_with = "bytes")]
    pub limit: ByteSize,
}

fn bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ByteSize, D::Error> {
    let allowed = &"bytes as a whole number or with a unit, as in `2GiB`";
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(|_| D::Error::invalid_value(Unexpected::Str(&text), allowed))
}

impl Memory {
    /// The limit in bytes. Where none is set, half of what the container may use, or the machine has: the other half is for
    /// the page cache, through which the log and local blocks are read.
    pub fn limit_bytes(&self) -> u64 {
        if self.limit.0 > 0 {
            return self.limit.0;
        }
        let machine = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"]
            .iter()
            .filter_map(|file| fs::read_to_string(file).ok()?.trim().parse().ok())
            .chain(fs::read_to_string("/proc/meminfo").ok().and_then(|text| total_bytes(&text)))
            .min();
        machine.unwrap_or(UNKNOWN_MACHINE_BYTES) / 2
    }
}

/// `MemTotal:       16384 kB`.
fn total_bytes(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_says_what_it_has() {
        assert_eq!(total_bytes("MemFree: 1 kB\n"), None);
        assert_eq!(total_bytes("MemTotal:       16384 kB\nMemFree: 1 kB\n"), Some(16 << 20));
        assert!(Memory::default().limit_bytes() > 0);
        assert_eq!(Memory { limit: ByteSize(7) }.limit_bytes(), 7);
    }
}
