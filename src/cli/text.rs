//! Tables, sizes and times as people read them.

use std::io::{self, Write};
use std::time::{Duration, SystemTime};

/// Rows of cells: the first row is the head. Columns whose head begins with `>` are aligned to the right.
pub(super) fn table(out: &mut dyn Write, rows: &[Vec<String>]) -> io::Result<()> {
    let Some(head) = rows.first() else { return Ok(()) };
    let is_right: Vec<bool> = head.iter().map(|cell| cell.starts_with('>')).collect();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.trim_start_matches('>').chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    for row in rows {
        let cells = row.iter().zip(&widths).zip(&is_right).map(|((cell, width), is_right)| {
            let cell = cell.trim_start_matches('>');
            if *is_right { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
        });
        let line = cells.collect::<Vec<_>>().join("  ");
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

/// `12.3 MiB`.
pub(super) fn bytes(bytes: u64) -> String {
    bytesize::ByteSize(bytes).display().iec().to_string()
}

/// `2026-11-28T14:00:00Z`; `-` for zero.
pub(super) fn time(unix_nano: u64) -> String {
    if unix_nano == 0 {
        return "-".to_owned();
    }
    let time = SystemTime::UNIX_EPOCH + Duration::from_nanos(unix_nano);
    humantime::format_rfc3339_seconds(time).to_string()
}

/// `12.5 %`; `-` of nothing.
pub(super) fn share(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "-".to_owned();
    }
    #[expect(clippy::cast_precision_loss, reason = "one digit is shown")]
    let share = part as f64 / whole as f64 * 100.0;
    format!("{share:.1} %")
}

/// `1 block`, `2 blocks`.
pub(super) fn count(number: u64, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let row = |cells: [&str; 3]| cells.map(str::to_owned).to_vec();
        let rows = [row(["NAME", ">SPANS", "END"]), row(["a", "12", "x"]), row(["long", "1", ""])];
        let mut out = Vec::new();
        table(&mut out, &rows).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text, "NAME  SPANS  END\na        12  x\nlong      1\n");
    }

    #[test]
    fn numbers_are_told_with_their_units() {
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(time(0), "-");
        assert_eq!(time(1_000_000_000), "1970-01-01T00:00:01Z");
        assert_eq!((share(1, 8), share(0, 0)), ("12.5 %".to_owned(), "-".to_owned()));
        assert_eq!((count(1, "block"), count(2, "block")), ("1 block".into(), "2 blocks".into()));
    }
}
