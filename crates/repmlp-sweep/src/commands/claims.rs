//! `claims`: judges the claims of an experiment's report by what is known so far. Claims about parameters and FLOPs of
//! the paper's networks need no run. Without an experiment it checks what the paper says against its own tables.

use anyhow::Result;
use sweep_plan::DEFAULT_PROFILE;
use sweep_protocol::ExperimentRows;
use sweep_report::claims::CheckedStatement;
use sweep_report::{Answers, claim_lines};

use super::grid::grid;
use super::{open_results, print, print_json, report, say_damage};
use crate::cli::ClaimsArgs;
use crate::costed_plan::CostedPlan;
use crate::exit::Exit;
use crate::plan_file;
use crate::program::Program;
use crate::project::{Project, experiment_name};
use crate::recorded;
use crate::screen::Screen;
use crate::spec::Spec;

pub(crate) async fn run(arguments: ClaimsArgs, screen: Screen, program: &Program) -> Result<Exit> {
    let Some(path) = arguments.path.clone() else {
        return statements(&Project::here().statements()?, &arguments);
    };
    let adjustments = arguments.adjust.adjustments();
    let profile = adjustments.profile(arguments.profile.as_deref().unwrap_or(DEFAULT_PROFILE));
    let spec = Spec::experiment(path.clone(), arguments.profile.clone(), adjustments);
    let project = spec.project();
    let layout = project.results(&arguments.results);
    let mut results = open_results(&layout).await?;
    let name = experiment_name(&path)?;
    let rows = match recorded::find_for_report(&project, &mut results, &layout, (&name, &profile)).await? {
        Some(recorded) => {
            plan_file::check(&layout, Some(&path), &recorded.rows.plan)?;
            recorded.rows
        }
        // A plan alone is enough for claims that need no run.
        None => {
            let plan = CostedPlan::load(&spec, program)?.record();
            ExperimentRows::of_plan(plan)
        }
    };
    say_damage(&mut results);
    let (declaration, paper) = project.declaration(&rows)?;
    let Answers { claims: judged, withdrawn, .. } = Answers::of(&rows, &declaration, &paper)?;
    if arguments.json {
        print_json(&judged)?;
    } else if judged.is_empty() && withdrawn.is_empty() {
        print(&format!("the report of `{name}` declares no claims\n"))?;
    } else {
        print(&claim_lines(&judged, &withdrawn, screen.width()))?;
    }
    Ok(report::verdict(&judged))
}

/// Shows what the paper says beside what its tables give.
fn statements(checked: &[CheckedStatement], arguments: &ClaimsArgs) -> Result<Exit> {
    let agreeing = checked.iter().filter(|statement| statement.agrees).count();
    if arguments.json {
        print_json(&checked)?;
    } else {
        let line = |statement: &CheckedStatement| {
            let verdict = if statement.agrees { "agrees" } else { "disagrees" };
            let CheckedStatement { id, place, stated, computed, .. } = statement;
            [id.as_str(), place, stated, computed, verdict].map(str::to_owned).to_vec()
        };
        let lines: Vec<Vec<String>> = checked.iter().map(line).collect();
        print(&grid(&["claim", "place", "stated", "its tables give", ""], &lines))?;
        for statement in checked {
            if let Some(note) = &statement.note {
                print(&format!("\n{}: {note}", statement.id))?;
            }
        }
        print(&format!("\n{agreeing} of {} statements agree with the paper's own tables\n", checked.len()))?;
    }
    let is_expected = checked.iter().all(|statement| statement.is_expected);
    Ok(if is_expected { Exit::Done } else { Exit::Mismatch })
}
