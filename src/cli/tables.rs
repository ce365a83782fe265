//! Tables for people.

use comfy_table::{ContentArrangement, Table, presets};

/// Returns a table without lines that fits `width`, or the terminal, or nothing where the output is no terminal.
pub(super) fn table(header: Vec<String>, width: Option<u16>) -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(header);
    if let Some(width) = width {
        table.set_width(width);
    }
    table
}

pub(super) fn printed(table: &Table) -> String {
    if table.is_empty() {
        return String::new();
    }
    table.trim_fmt() + "\n"
}
