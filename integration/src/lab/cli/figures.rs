//! Numbers that were measured, for a table.

/// How measurements lie.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Spread {
    pub median: f64,
    /// Of fewer than a hundred: the largest.
    pub p99: f64,
    pub count: usize,
}

impl Spread {
    /// None of nothing.
    pub fn of(measured: &[f64]) -> Option<Self> {
        let mut sorted = measured.to_vec();
        sorted.sort_by(f64::total_cmp);
        let count = sorted.len();
        // Nearest rank; the mean of the two in the middle.
        let p99 = *sorted.get((count * 99).div_ceil(100).checked_sub(1)?)?;
        let median = f64::midpoint(sorted[(count - 1) / 2], sorted[count / 2]);
        Some(Self { median, p99, count })
    }
}

/// Columns as wide as they have to be; the first to the left, the others to the right.
pub fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let cell = |row: &Vec<String>, column: usize| row.get(column).cloned().unwrap_or_default();
    let width =
        |column| rows.iter().map(|row| cell(row, column).chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let line = widths.iter().enumerate().map(|(column, width)| match column {
            0 => format!("{:<width$}", cell(row, column)),
            _ => format!("{:>width$}", cell(row, column)),
        });
        text += line.collect::<Vec<_>>().join("   ").trim_end();
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle_and_the_p99_of_few_is_the_largest() {
        let few = Spread::of(&[3.0, 1.0, 2.0, 10.0]).expect("four");
        assert_eq!((few.median, few.p99, few.count), (2.5, 10.0, 4));
        let many: Vec<f64> = (1..=200).map(f64::from).collect();
        assert_eq!(
            Spread::of(&many).map(|spread| (spread.median, spread.p99)),
            Some((100.5, 198.0))
        );
        assert_eq!(Spread::of(&[]), None);
    }

    #[test]
    fn a_table_is_aligned_by_what_is_in_it() {
        let rows =
            [vec!["step".to_owned(), "ms".to_owned()], vec!["a".to_owned(), "1234".to_owned()]];
        assert_eq!(table(&rows), "step     ms\na      1234\n");
    }
}
