//! `count`: the costs of networks, next to every value that the paper prints; or the costs of one network by layer. It
//! builds no tensors.

use anyhow::{Context, Result};
use repmlp::catalogue::{self, NamedModel};
use repmlp::cost::{Account, CountedForm, LayerCost};
use serde::Deserialize;
use serde_json::json;

use super::grid::grid;
use super::{print, print_json};
use crate::cli::{CountArgs, FormChoice};
use crate::exit::Exit;
use crate::program::Program;
use crate::{named_model, paper, predict};

#[derive(Deserialize)]
struct PaperTable {
    row: Vec<PaperRow>,
}

/// A row of a printed table: only the columns that can be counted.
#[derive(Deserialize)]
struct PaperRow {
    id: String,
    model: String,
    form: Option<String>,
    values: toml::Table,
}

pub(crate) fn run(arguments: &CountArgs, program: &Program) -> Result<Exit> {
    match &arguments.model {
        Some(name) => one(&named_model::find(name, program)?, arguments),
        None => all(arguments),
    }
}

/// A printed value next to the counted one.
struct Cell {
    counted: f64,
    printed: Option<Printed>,
}

/// A printed number and its number of decimals.
#[derive(Clone, Copy, PartialEq)]
struct Printed {
    value: f64,
    decimals: i32,
}

impl Cell {
    /// Whether the count matches the printed number; `None` if nothing is printed. The paper truncates numbers and does
    /// not round.
    fn agrees(&self) -> Option<bool> {
        let Printed { value, decimals } = self.printed?;
        let unit = 10f64.powi(decimals);
        // The printed decimal number is not exact in binary, so it is rounded. The count is truncated at the same
        // digit.
        Some((value * unit).round() as i64 == (self.counted * unit).floor() as i64)
    }

    fn texts(&self) -> [String; 2] {
        let Some(Printed { value, decimals }) = self.printed else {
            return [format!("{:.2}", self.counted), "-".into()];
        };
        let unit = 10f64.powi(decimals);
        let digits = usize::try_from(decimals).unwrap_or(0);
        let sign = if self.agrees() == Some(false) { " differs" } else { "" };
        [format!("{:.digits$}", (self.counted * unit).floor() / unit), format!("{value:.digits$}{sign}")]
    }
}

/// A row of the paper with its counts.
struct Row {
    id: String,
    model: String,
    params: Cell,
    flops: Cell,
}

fn rows() -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (_, text) in paper::TABLES {
        let table: PaperTable = toml::from_str(text).context("a table of the paper")?;
        let [params_decimals, flops_decimals] = ["params_m", "flops_m"].map(|column| decimals(&table, column));
        for row in table.row {
            let NamedModel { task, model, .. } = catalogue::find(&row.model)?;
            let form =
                if row.form.as_deref() == Some("training") { CountedForm::Training } else { CountedForm::Deployed };
            let account = model.account(task, form);
            let cell = |counted: usize, column: &str, decimals: i32| Cell {
                counted: counted as f64 / 1e6,
                printed: row.values.get(column).and_then(number).map(|value| Printed { value, decimals }),
            };
            let params = cell(account.params(), "params_m", params_decimals);
            let flops = cell(account.flops(), "flops_m", flops_decimals);
            rows.push(Row { id: row.id, model: row.model, params, flops });
        }
    }
    Ok(rows)
}

fn number(value: &toml::Value) -> Option<f64> {
    value.as_float().or_else(|| value.as_integer().map(|integer| integer as f64))
}

/// Returns the number of decimals of a column: that of its longest number, since TOML drops trailing zeros.
fn decimals(table: &PaperTable, column: &str) -> i32 {
    let of_value = |row: &PaperRow| {
        let text = row.values.get(column)?.to_string();
        Some(text.split_once('.').map_or(0, |(_, decimals)| i32::try_from(decimals.len()).unwrap_or(0)))
    };
    table.row.iter().filter_map(of_value).max().unwrap_or(0)
}

fn all(arguments: &CountArgs) -> Result<Exit> {
    let rows = rows()?;
    let cells: Vec<bool> = rows.iter().flat_map(|row| [&row.params, &row.flops]).filter_map(Cell::agrees).collect();
    let agreeing = cells.iter().filter(|agrees| **agrees).count();
    if arguments.json {
        print_json(&json!({
            "rows": rows.iter().map(Row::json).collect::<Vec<_>>(),
            "agreeing": agreeing,
            "printed": cells.len(),
        }))?;
    } else {
        let lines: Vec<Vec<String>> = rows.iter().map(Row::line).collect();
        let heading = ["row", "network", "params (M)", "paper", "FLOPs (M)", "paper"];
        let note = "Parameters: weights and biases of the deployed form (T1.A: all tensors of the training form).\n\
                    FLOPs: multiply-adds of convolutions and FC layers. Numbers are truncated, as in the paper.";
        print(&format!("{}\n{note}\n{agreeing} of {} printed values match\n", grid(&heading, &lines), cells.len()))?;
    }
    Ok(if agreeing == cells.len() { Exit::Done } else { Exit::Mismatch })
}

impl Row {
    fn line(&self) -> Vec<String> {
        let [params, printed_params] = self.params.texts();
        let [flops, printed_flops] = self.flops.texts();
        vec![self.id.clone(), self.model.clone(), params, printed_params, flops, printed_flops]
    }

    fn json(&self) -> serde_json::Value {
        let cell = |cell: &Cell| {
            json!({
                "counted_m": cell.counted, "printed_m": cell.printed.map(|p| p.value), "agrees": cell.agrees(),
            })
        };
        json!({ "row": self.id, "model": self.model, "params": cell(&self.params), "flops": cell(&self.flops) })
    }
}

fn one(named: &NamedModel, arguments: &CountArgs) -> Result<Exit> {
    let form = match arguments.form {
        FormChoice::Training => CountedForm::Training,
        FormChoice::Deployed => CountedForm::Deployed,
    };
    let account = named.model.account(named.task, form);
    if arguments.json {
        print_json(&account_json(named, &account))?;
        return Ok(Exit::Done);
    }
    let mut text = String::new();
    if arguments.layers {
        let weighs = |layer: &&LayerCost| layer.params + layer.flops + layer.activation_flops > 0;
        let lines: Vec<Vec<String>> = account.layers().iter().filter(weighs).map(layer_line).collect();
        text += &grid(&["layer", "shape", "params", "MACs", "output"], &lines);
        text.push('\n');
    }
    let (h, w) = named.task.image;
    text += &format!(
        "{}, {} form, {h}x{w}: {} parameters ({}), {} multiply-adds ({})",
        named.name,
        if form == CountedForm::Training { "training" } else { "deployed" },
        account.params(),
        predict::count(account.params() as f64),
        account.flops(),
        predict::count(account.flops() as f64),
    );
    if account.flops_all() > account.flops() {
        text += &format!(", {} including products between activations", predict::count(account.flops_all() as f64));
    }
    text.push('\n');
    print(&text)?;
    Ok(Exit::Done)
}

fn dims(dims: &[usize], between: &str) -> String {
    if dims.is_empty() {
        "-".to_owned()
    } else {
        dims.iter().map(ToString::to_string).collect::<Vec<_>>().join(between)
    }
}

fn layer_line(layer: &LayerCost) -> Vec<String> {
    let name = if layer.name.is_empty() { "-".to_owned() } else { layer.name.clone() };
    vec![
        name,
        dims(&layer.shape, "x"),
        layer.params.to_string(),
        (layer.flops + layer.activation_flops).to_string(),
        dims(&layer.output, "x"),
    ]
}

fn account_json(named: &NamedModel, account: &Account) -> serde_json::Value {
    let layer = |layer: &LayerCost| {
        json!({
            "name": layer.name, "shape": layer.shape, "params": layer.params, "macs": layer.flops,
            "activation_macs": layer.activation_flops, "output": layer.output,
        })
    };
    json!({
        "model": named.name, "params": account.params(), "flops": account.flops(), "flops_all": account.flops_all(),
        "layers": account.layers().iter().map(layer).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_printed_value_of_the_paper_matches_the_count() {
        let rows = rows().unwrap();
        let cells: Vec<(&str, bool)> = rows
            .iter()
            .flat_map(|row| [&row.params, &row.flops].map(|cell| (row.id.as_str(), cell)))
            .filter_map(|(id, cell)| Some((id, cell.agrees()?)))
            .collect();
        let differing: Vec<&str> = cells.iter().filter(|(_, agrees)| !agrees).map(|(id, _)| *id).collect();
        assert!(differing.is_empty(), "{differing:?}");
        assert_eq!(cells.len(), 40 + 28, "the paper prints 40 values of parameters and 28 of FLOPs");
    }

    #[test]
    fn digits_are_truncated_and_not_rounded() {
        let cell = |counted, value, decimals| Cell { counted, printed: Some(Printed { value, decimals }) }.agrees();
        assert_eq!(cell(44.4965, 44.49, 2), Some(true));
        assert_eq!(cell(44.4965, 44.50, 2), Some(false));
        assert_eq!(cell(4089.9, 4089.0, 0), Some(true));
        assert_eq!(Cell { counted: 1.0, printed: None }.agrees(), None);
    }
}
