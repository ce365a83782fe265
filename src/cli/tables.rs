//! Tables for people.

use comfy_table::{ContentArrangement, Row, Table, presets};

/// Returns a table without lines that fits `width`, or the terminal if no width is given. If the output is not a terminal,
/// nothing is wrapped.
pub(super) fn table(header: impl Into<Row>, width: Option<u16>) -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(header);
    if let Some(width) = width {
        table.set_width(width);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 1));
    }
    table
}

/// Returns the text of a table, which is empty if it has no rows.
pub(super) fn printed(table: &Table) -> String {
    if table.is_empty() {
        return String::new();
    }
    table.trim_fmt() + "\n"
}
