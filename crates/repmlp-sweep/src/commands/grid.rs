//! Prints text in columns.

use rayon::prelude::{IntoParallelRefIterator, ParallelIterator};

/// Returns lines of columns. Each column is as wide as its longest text, two spaces from the next. Columns with numbers
/// are right-aligned. The first line is the heading.
pub(super) fn grid(heading: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([heading[column].chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..heading.len()).map(width).collect();
    let to_right: Vec<bool> = (0..heading.len()).map(|column| rows.iter().any(|row| is_number(&row[column]))).collect();
    let line = |cells: Vec<&str>| {
        let mut line = String::new();
        for (i, cell) in cells.iter().enumerate() {
            let blanks = " ".repeat(widths[i] - cell.chars().count());
            let gap = if i == 0 { "" } else { "  " };
            line += &if to_right[i] { format!("{gap}{blanks}{cell}") } else { format!("{gap}{cell}{blanks}") };
        }
        format!("{}\n", line.trim_end())
    };
    let body: String = rows.par_iter().map(|row| line(row.iter().map(String::as_str).collect())).collect();
    format!("{}{body}", line(heading.to_vec()))
}

/// Whether a text is a number, with or without a unit.
fn is_number(text: &str) -> bool {
    let mut words = text.split(' ');
    words.next().is_some_and(|word| word.parse::<f64>().is_ok()) && words.all(|word| word.len() <= 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_start_left_and_numbers_end_right() {
        let rows = [vec!["a".to_owned(), "5.6 M".to_owned()], vec!["long".to_owned(), "12 M".to_owned()]];
        assert_eq!(grid(&["name", "params"], &rows), "name  params\na      5.6 M\nlong    12 M\n");
    }
}
