//! Tables for people.

use std::io;

use super::terminal::{Color, Output};

/// One cell.
pub(super) struct Cell {
    text: String,
    is_right: bool,
    color: Option<Color>,
}

impl Cell {
    pub(super) const fn left(text: String) -> Self {
        Self { text, is_right: false, color: None }
    }

    pub(super) const fn right(text: String) -> Self {
        Self { text, is_right: true, color: None }
    }

    pub(super) fn colored(self, color: Option<Color>) -> Self {
        Self { color, ..self }
    }
}

/// Rows under a head. A column is as wide as its widest cell.
pub(super) struct Table<const COLUMNS: usize> {
    head: [&'static str; COLUMNS],
    rows: Vec<[Cell; COLUMNS]>,
}

impl<const COLUMNS: usize> Table<COLUMNS> {
    pub(super) const fn new(head: [&'static str; COLUMNS]) -> Self {
        Self { head, rows: Vec::new() }
    }

    pub(super) fn row(&mut self, row: [Cell; COLUMNS]) {
        self.rows.push(row);
    }

    /// Prints the table; its texts may come from anywhere.
    pub(super) fn print(self, out: &mut Output<'_>) -> io::Result<()> {
        // A heading stands where its column's cells stand.
        let sides = self.rows.first().map(|row| row.each_ref().map(|cell| cell.is_right)).unwrap_or([false; COLUMNS]);
        let mut at = 0;
        let head = self.head.map(|name| {
            at += 1;
            Cell { text: name.to_uppercase(), is_right: sides[at - 1], color: None }
        });
        let rows: Vec<_> = std::iter::once(head)
            .chain(self.rows)
            .map(|row| row.map(|cell| Cell { text: one_line(&out.safe(&cell.text)), ..cell }))
            .collect();
        let width = |column: usize| rows.iter().map(|row| row[column].text.chars().count()).max().unwrap_or(0);
        let widths: [usize; COLUMNS] = std::array::from_fn(width);
        for row in &rows {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(widths) {
                let padding = " ".repeat(width - cell.text.chars().count());
                let text = out.colored(&cell.text, cell.color);
                line.push_str(&if cell.is_right { format!("{padding}{text}  ") } else { format!("{text}{padding}  ") });
            }
            writeln!(out.writer, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

fn one_line(text: &str) -> String {
    if text.is_empty() { "-".to_owned() } else { text.replace('\n', " ") }
}

/// Nanoseconds in at most two units, such as `1h 5m`.
pub(super) fn duration(nanos: u64) -> String {
    let seconds = nanos / 1_000_000_000;
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m {}s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{}h {}m", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{}d {}h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

/// A size in the largest unit that leaves a number of at least one, such as `1.5 MiB`.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    let mut scaled = bytes as f64 / 1024.0;
    for unit in UNITS {
        if scaled < 1.0 {
            break;
        }
        if scaled < 1024.0 || unit == "TiB" {
            return format!("{scaled:.1} {unit}");
        }
        scaled /= 1024.0;
    }
    format!("{bytes} B")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_are_short() {
        let durations = [(0, "0s"), (59, "59s"), (61, "1m 1s"), (3_900, "1h 5m"), (90_000, "1d 1h")];
        for (seconds, text) in durations {
            assert_eq!(duration(seconds * 1_000_000_000), text);
        }
        let sizes = [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1_572_864, "1.5 MiB"), (1 << 31, "2.0 GiB")];
        for (bytes, text) in sizes {
            assert_eq!(size(bytes), text);
        }
        assert_eq!(size(1 << 50), "1024.0 TiB");
    }
}
