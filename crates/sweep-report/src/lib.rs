//! Turns rows of measurements into tables and plots: a declared report, in several output formats.
//!
//! The crate reads declarations and published rows; apart from that it is pure: the same rows give the same bytes. It
//! does not know databases or tensors. It knows no axis, model or number of the paper by name.
//!
//! ```text
//! ExperimentRows + Declaration + PaperNumbers -> Table, picture -> Markdown, LaTeX, CSV, JSON, terminal, SVG, PNG, PDF
//! ```
//!
//! # Example
//!
//! ```
//! use sweep_report::Declaration;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let declaration: Declaration = toml::from_str(
//!     r#"
//!     title = "Groups"
//!     [[table]]
//!     id    = "groups"
//!     title = "Groups"
//!     rows  = ["groups"]
//!     column = [{ metric = "accuracy", split = "test", form = "deployed", delta = true }]
//!     "#,
//! )?;
//! assert_eq!(declaration.tables[0].columns[0].metric.name(), "accuracy");
//! # Ok(())
//! # }
//! ```

mod compare;
mod csv;
mod declaration;
mod default_report;
mod error;
mod fit;
mod frame;
mod group;
mod latex;
mod markdown;
mod measured;
mod missing;
mod notes;
mod overview;
mod paper;
mod plots;
pub mod published;
mod read_toml;
pub mod rendered;
mod report;
mod samples;
mod sheet;
mod style;
mod table;
mod terminal;
mod unit;
mod validation;

pub use declaration::{
    AxisPlot, ColumnDeclaration, CurvesPlot, Declaration, EpochRule, PaperLink, PlotDeclaration, Quantity, ScatterPlot,
    TableDeclaration, report_schema,
};
pub use error::{Fault, ReportError};
pub use fit::check as check_declaration;
pub use frame::{frame, write_csv, write_parquet};
pub use overview::{Failure, Overview};
pub use paper::{PaperNumbers, PaperRow, PaperTable};
pub use plots::{HeatMaps, HeatPanel};
pub use report::{Rendering, missing_glyphs, render, render_around};
pub use style::{AxisStyle, PlotStyle};
pub use table::{Cell, CellValue, Column, Delta, Row, Table, tables};
pub use terminal::{Color, terminal};
