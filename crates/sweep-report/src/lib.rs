//! Turns rows of measurements into tables and plots: a declared report, in several output formats.
//!
//! The crate reads declarations and published rows; apart from that it is pure: the same rows give the same bytes. It
//! does not know databases or tensors. It knows no axis, model or number of the paper by name.
//!
//! ```text
//! ExperimentRows + Declaration + PaperNumbers -> Document -> Markdown, LaTeX, CSV, JSON, terminal, SVG, PNG, PDF
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

mod analysis;
pub mod claims;
mod compare;
mod declaration;
mod default_report;
mod document;
mod error;
mod fit;
mod formats;
mod frame;
mod group;
mod measured;
mod missing;
mod needs;
mod noise;
mod notes;
mod overview;
mod paper;
mod pilot;
mod plots;
pub mod published;
mod published_predictions;
mod read_toml;
pub mod rendered;
mod samples;
mod side_by_side;
mod style;
mod table;
mod test_images;
mod trace;
mod unit;
mod validation;

pub use analysis::{Analysis, Classes, ClassesRow, Effects, Found, Front, FrontRow, GridAxis};
pub use declaration::{
    AxisPlot, ClassesDeclaration, ColumnDeclaration, CurvesPlot, Declaration, EffectsDeclaration, EpochRule,
    FrontDeclaration, PaperLink, PlotDeclaration, Quantity, ScatterPlot, TableDeclaration, report_schema,
};
pub use document::{Answers, Document};
pub use error::{Fault, ReportError};
pub use fit::check as check_declaration;
pub use formats::claims::lines as claim_lines;
pub use formats::page::{PageCell, PagePlot, PageReport, PageSection, PageSheet};
pub use formats::page_runs::{PageRun, PageRuns, PageValues, page_runs};
pub use formats::sheet::p_number;
pub use formats::terminal::{Color, analysis_lines, terminal};
pub use formats::{Rendering, render};
pub use frame::{frame, write_csv, write_parquet};
pub use noise::{Estimated, Noise, NoiseComponents, NoiseRow, noise};
pub use overview::{Failure, Overview};
pub use paper::{Counts, PaperNumbers, PaperRow, PaperTable};
pub use pilot::{PilotAim, PilotPlan, PilotRow, pilot};
pub use plots::{Chart, ChartAxis, ChartKind, ChartMark, ChartSeries, HeatMaps, HeatPanel};
pub use side_by_side::{ComparedImages, ComparedQuantity, Disagreement, Side, SideBySide, SideRun, side_by_side};
pub use style::{AxisStyle, PlotStyle};
pub use sweep_statistics::McNemar;
pub use table::{Cell, CellValue, Column, Delta, Row, Table, tables};
pub use test_images::ImageNoise;
pub use trace::{Trace, TracedRun, trace};
