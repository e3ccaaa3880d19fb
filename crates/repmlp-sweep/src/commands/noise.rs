//! `noise`: how much of the deviation between seeds is rounding.

use anyhow::{Context, Result};
use sweep_protocol::ResultsLayout;
use sweep_report::{Estimated, Noise, NoiseRow, noise};

use super::grid::grid;
use super::report::recorded;
use super::{open_results, print, print_json, say_damage};
use crate::cli::NoiseArgs;
use crate::exit::{Exit, UsageError};
use crate::project::Project;

pub(crate) async fn run(arguments: NoiseArgs) -> Result<Exit> {
    let project = Project::of(&arguments.path);
    let profile = arguments.recorded.profile();
    let mut sets = Vec::new();
    for layout in [project.results(&arguments.recorded.results), ResultsLayout::new(arguments.other.clone())] {
        let mut results = open_results(&layout).await?;
        let found = recorded(&mut results, &layout, &arguments.path, Some(&profile)).await;
        sets.push(found.with_context(|| layout.root().display().to_string())?.rows);
        say_damage(&mut results);
    }
    let (declaration, paper) = project.declaration(&sets[0])?;
    let found = noise((&sets[0], &sets[1]), &declaration, &paper, arguments.table.as_deref());
    let found = found.map_err(|fault| UsageError(fault.to_string()))?;
    if arguments.json {
        print_json(&serde_json::to_value(&found)?)?;
    } else {
        print(&text(&found))?;
    }
    Ok(Exit::Done)
}

fn text(noise: &Noise) -> String {
    let ends = |Estimated { value, low, high }: Estimated, n: usize| format!("{value:.n$} [{low:.n$}, {high:.n$}]");
    let line = |row: &NoiseRow| {
        let mut line = vec![row.row.clone(), row.seeds.to_string()];
        match &row.noise {
            Some(found) => {
                line.push(ends(found.shift, noise.decimals));
                line.push(format!("{:.*}", noise.decimals, found.seed_sd));
                line.push(ends(found.rounding_sd, noise.decimals));
                line.push(ends(found.share, 2));
            }
            None => line.extend(["-"; 4].map(str::to_owned)),
        }
        line
    };
    let [first, second] = &noise.arithmetics;
    let heading = ["row", "seeds", "difference [95 %]", "SD of seeds", "SD of rounding [95 %]", "share [95 %]"];
    format!(
        "table {}, {}, in {}: {first} minus {second}\n\n{}\n\
         Each seed was trained with both arithmetics. What differs within a seed is rounding, and what both have in\n\
         common is the seed. The share is that of rounding in the variance of one training. A row without numbers has\n\
         fewer than two seeds, or equal values in both.\n",
        noise.table,
        noise.quantity,
        if noise.unit.is_empty() { "its unit" } else { &noise.unit },
        grid(&heading, &noise.rows.iter().map(line).collect::<Vec<_>>()),
    )
}
