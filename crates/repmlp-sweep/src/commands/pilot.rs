//! `pilot`: plans the number of seeds from the seeds that are finished.

use anyhow::Result;
use sweep_report::{PilotAim, PilotPlan, PilotRow, pilot, tables};

use super::grid::grid;
use super::report::recorded;
use super::{open_results, print, print_json, say_damage};
use crate::cli::PilotArgs;
use crate::exit::{Exit, UsageError};
use crate::project::Project;

pub(crate) async fn run(arguments: PilotArgs) -> Result<Exit> {
    let project = Project::of(&arguments.path);
    let layout = project.results(&arguments.recorded.results);
    let mut results = open_results(&layout).await?;
    let profile = arguments.recorded.profile();
    let recorded = recorded(&mut results, &layout, &arguments.path, Some(&profile)).await?;
    say_damage(&mut results);
    let (declaration, paper) = project.declaration(&recorded.rows)?;
    let tables = tables(&recorded.rows, &declaration, &paper)?;
    let aim = PilotAim {
        difference: arguments.difference,
        power: arguments.power,
        seeds: arguments.at.map(|seeds| seeds as usize),
    };
    let place = (arguments.table.as_deref(), arguments.column.as_deref());
    let plan = pilot(&tables, place, aim).map_err(|fault| UsageError(fault.to_string()))?;
    if arguments.json {
        print_json(&serde_json::to_value(&plan)?)?;
    } else {
        print(&text(&plan, aim))?;
    }
    Ok(Exit::Done)
}

fn text(plan: &PilotPlan, aim: PilotAim) -> String {
    let unit = if plan.unit.is_empty() { String::new() } else { format!(", in {}", plan.unit) };
    let aimed = aim.difference.map_or_else(|| "this difference".to_owned(), |difference| format!("{difference}"));
    let with = aim.seeds.map_or_else(|| "these seeds".to_owned(), |seeds| format!("{seeds} seeds"));
    let text = |value: f64| format!("{value:.*}", plan.decimals);
    let line = |row: &PilotRow| {
        vec![
            row.row.clone(),
            row.pairs.to_string(),
            text(row.observed),
            text(row.sd),
            text(row.sd_upper),
            row.seeds_needed.map_or_else(|| "> 100000".to_owned(), |seeds| seeds.to_string()),
            row.least_difference.map_or_else(|| "-".to_owned(), text),
        ]
    };
    let seeds = format!("seeds for {aimed}");
    let least = format!("told with {with}");
    let heading = ["row", "pairs", "difference", "SD", "SD at most", &seeds, &least];
    format!(
        "table {}, {}: differences to the baseline{unit}\n\n{}\n\
         Plans are for {} comparisons together at 5 % and a power of {}. They take the upper bound of the deviation\n\
         (confidence {}), since the deviation of a few seeds may be far too small.\n",
        plan.table,
        plan.column,
        grid(&heading, &plan.rows.iter().map(line).collect::<Vec<_>>()),
        plan.comparisons,
        plan.power,
        plan.confidence,
    )
}
