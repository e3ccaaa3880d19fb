//! `report`: renders tables and plots from the measurements, and checks that committed renderings match them.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Result;
use sweep_plan::DEFAULT_PROFILE;
use sweep_protocol::{ExperimentRows, PlanRecord, ResultsLayout, error_chain};
use sweep_report::claims::{Judged, Verdict};
use sweep_report::published::{self, Difference};
use sweep_report::rendered::{self, Kept};
use sweep_report::{
    Answers, Declaration, Document, PaperNumbers, ReportError, analysis_lines, check_declaration, claim_lines, terminal,
};
use sweep_store::Reader;

use super::{json_text, open_results, print, print_bytes, say, say_damage};
use crate::cli::{ReportArgs, ReportsArgs};
use crate::exit::{Exit, UsageError};
use crate::paper;
use crate::plan_file;
use crate::project::{Project, experiment_name};
use crate::recorded::{self, Origin, Recorded, folders};
use crate::screen::Screen;

pub(crate) async fn run(arguments: ReportArgs, screen: Screen) -> Result<Exit> {
    let project = arguments.path.as_deref().map_or_else(Project::here, Project::of);
    let layout = project.results(&arguments.recorded.results);
    let Some(path) = &arguments.path else {
        return check_all(&project, &layout, &arguments.reports);
    };
    let profile = arguments.recorded.profile();
    if arguments.check {
        let name = experiment_name(path)?;
        let published = layout.published(&name, &profile);
        if !published.is_dir() {
            return Err(UsageError(format!(
                "nothing of `{name}` is published under the profile `{profile}` ({}): name another --profile, or run \
                 it",
                published.display()
            ))
            .into());
        }
        return check_one(&project, &published, &arguments.reports);
    }
    let mut results = open_results(&layout).await?;
    let Recorded { rows, origin } = recorded_for_report(&project, &mut results, &layout, (path, &profile)).await?;
    if origin == Origin::Published {
        published::refuse_edited(&layout.published(&rows.plan.experiment, &rows.plan.profile))?;
    }
    say_damage(&mut results);
    let (declaration, numbers) = project.declaration(&rows)?;
    if arguments.json {
        print_bytes(json_text(&Document::of(&rows, &declaration, &numbers)?.json()?).as_bytes())?;
        return Ok(Exit::Done);
    }
    let folder = project.renderings(&arguments.reports, &rows.plan)?;
    let place = Some(&layout).filter(|_| origin == Origin::Runs);
    let (published, document) = publish_and_compute(place, &rows, (&declaration, &numbers))?;
    match published {
        Err(fault) if is_write_protected(&fault) => say(&format!(
            "note: {}; the report is rendered anyway, but `report --check` compares it with the measurements \
             published before",
            error_chain(&fault)
        )),
        kept => kept?.iter().for_each(say_kept),
    }
    write_renderings(&folder, &document)?;
    print_bytes(shown(&document.answers, screen).as_bytes())?;
    Ok(verdict(&document.answers.claims))
}

/// Returns the rows of an experiment under a profile.
pub(super) async fn recorded(
    results: &mut Reader,
    layout: &ResultsLayout,
    spec: &Path,
    profile: Option<&str>,
) -> Result<Recorded> {
    let name = experiment_name(spec)?;
    let profile = profile.unwrap_or(DEFAULT_PROFILE);
    let place = (name.as_str(), profile);
    let found = recorded::find(results, layout, place).await?.ok_or_else(|| unknown(place))?;
    plan_file::check(layout, Some(spec), &found.rows.plan)?;
    Ok(found)
}

/// Like [`recorded`], for the report of an experiment.
pub(super) async fn recorded_for_report(
    project: &Project,
    results: &mut Reader,
    layout: &ResultsLayout,
    (spec, profile): (&Path, &str),
) -> Result<Recorded> {
    let name = experiment_name(spec)?;
    let place = (name.as_str(), profile);
    let found = recorded::find_for_report(project, results, layout, place).await?.ok_or_else(|| unknown(place))?;
    plan_file::check(layout, Some(spec), &found.rows.plan)?;
    Ok(found)
}

fn unknown((name, profile): (&str, &str)) -> UsageError {
    UsageError(format!("`{name}` was neither run nor published under the profile `{profile}`: run it first"))
}

/// Returns the answers of a report as the terminal shows them.
pub(super) fn shown(Answers { tables, analyses, claims, withdrawn }: &Answers, screen: Screen) -> String {
    let tables = tables.iter().map(|table| terminal(table, screen.width(), screen.table_color()));
    let analyses = analyses.iter().map(|analysis| analysis_lines(analysis, screen.width(), screen.table_color()));
    let claims = Some(claim_lines(claims, withdrawn, screen.width())).filter(|lines| !lines.is_empty());
    tables.chain(analyses).chain(claims).collect::<Vec<_>>().join("\n")
}

/// Returns the exit code of a report: whether one of its claims is contradicted.
pub(super) fn verdict(claims: &[Judged]) -> Exit {
    let is_contradicted = claims.iter().any(|claim| claim.verdict == Verdict::Contradicted);
    if is_contradicted { Exit::Contradicted } else { Exit::Done }
}

/// Returns the answers of a report that is not written yet.
pub(super) fn unwritten(project: &Project, rows: &ExperimentRows) -> Result<Answers> {
    let (declaration, paper) = project.declaration(rows)?;
    Ok(Answers::of(rows, &declaration, &paper)?)
}

/// Publishes the measurements and renders them into `folder`. Returns the answers.
pub(super) fn write(
    project: &Project,
    layout: &ResultsLayout,
    folder: &Path,
    rows: &ExperimentRows,
) -> Result<Answers> {
    let (declaration, paper) = project.declaration(rows)?;
    let (published, document) = publish_and_compute(Some(layout), rows, (&declaration, &paper))?;
    published?.iter().for_each(say_kept);
    write_renderings(folder, &document)?;
    Ok(document.answers)
}

/// Files of the user that were found where measurements are published.
type Published = Result<Vec<Kept>, ReportError>;

/// Writes the measurements that renderings are made from into the results folder, if one is given, and computes the
/// report. Both take long for millions of values, so they are done at the same time. If the declaration does not fit,
/// nothing is written.
fn publish_and_compute(
    layout: Option<&ResultsLayout>,
    rows: &ExperimentRows,
    (declaration, paper): (&Declaration, &PaperNumbers),
) -> Result<(Published, Document), ReportError> {
    check_declaration(declaration, &rows.plan, paper)?;
    if let (Some(_), Some(part)) = (layout, &rows.part) {
        say(&format!(
            "note: {} of {} values are published: those that the report shows, and the last one of each series; \
             `export` writes all while the runs are here",
            rows.measurements.len(),
            part.all_values
        ));
    }
    let publish = || match layout {
        Some(layout) => published::write(&layout.published(&rows.plan.experiment, &rows.plan.profile), rows),
        None => Ok(Vec::new()),
    };
    let (published, document) = rayon::join(publish, || Document::of(rows, declaration, paper));
    Ok((published, document?))
}

/// Whether an error means that the results folder is read-only. Then a report can still be written elsewhere.
fn is_write_protected(fault: &ReportError) -> bool {
    use std::io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem};
    matches!(fault, ReportError::Io { source, .. } if matches!(source.kind(), PermissionDenied | ReadOnlyFilesystem))
}

/// Writes the files of a report into their folder.
fn write_renderings(folder: &Path, document: &Document) -> Result<()> {
    let missing: Vec<String> = document.missing_glyphs().iter().map(char::to_string).collect();
    if !missing.is_empty() {
        let missing = missing.join(" ");
        say(&format!("the font of PNG plots lacks {missing}: PNG plots show boxes instead; SVG plots are correct"));
    }
    rendered::write(folder, &document.files()?)?.iter().for_each(say_kept);
    Ok(())
}

/// Prints what happened to a file of the user.
fn say_kept(kept: &Kept) {
    match kept {
        Kept::Edited(path) => {
            say(&format!(
                "{} is no longer rendered; it was edited, so it is kept: remove it if you do not need it",
                path.display()
            ));
        }
        Kept::MovedAside { from, to } => {
            say(&format!("{} was not the rendered file: it is kept as {}", from.display(), to.display()));
        }
    }
}

/// Checks every published report.
fn check_all(project: &Project, layout: &ResultsLayout, arguments: &ReportsArgs) -> Result<Exit> {
    let published = layout.root().join("published");
    let mut exit = check_statements(project)?;
    let mut checked = BTreeSet::new();
    for experiment in folders(&published)? {
        for profile in folders(&experiment)? {
            if check_one(project, &profile, arguments)? != Exit::Done {
                exit = Exit::Mismatch;
            }
            checked.insert(profile.strip_prefix(&published).map(Path::to_owned).unwrap_or_default());
        }
    }
    let reports = arguments.reports.clone().unwrap_or_else(|| project.reports());
    for experiment in folders(&reports)? {
        for profile in folders(&experiment)?.into_iter().filter(|folder| folder.join("report.json").exists()) {
            let name = profile.strip_prefix(&reports).map(Path::to_owned).unwrap_or_default();
            if !checked.contains(&name) {
                print(&format!("{} has no published measurements in {}\n", profile.display(), published.display()))?;
                exit = Exit::Mismatch;
            }
        }
    }
    if checked.is_empty() {
        say(&format!("{}: nothing is published here", published.display()));
    }
    Ok(exit)
}

/// Checks what the paper says against its printed tables. A wrong number in a table is found here, even if no published
/// report shows it.
fn check_statements(project: &Project) -> Result<Exit> {
    let mut exit = Exit::Done;
    for statement in project.statements()?.iter().filter(|statement| !statement.is_expected) {
        let expected = if statement.agrees { "`disagrees` says otherwise" } else { "these numbers disagree" };
        print(&format!(
            "{}: `{}` ({}) states {}, and the printed tables give {}: {expected}\n",
            paper::STATEMENTS,
            statement.id,
            statement.place,
            statement.stated,
            statement.computed
        ))?;
        exit = Exit::Mismatch;
    }
    Ok(exit)
}

/// Renders one published report and compares it with the committed files, byte by byte.
fn check_one(project: &Project, published: &Path, arguments: &ReportsArgs) -> Result<Exit> {
    let rows = match published::read(published) {
        Ok(rows) => rows,
        // The other reports are checked too.
        Err(fault) => {
            print(&format!("{}\n", error_chain(&fault)))?;
            return Ok(Exit::Mismatch);
        }
    };
    let PlanRecord { experiment, profile, .. } = &rows.plan;
    if !published.ends_with(Path::new(experiment).join(profile)) {
        print(&format!("{} has the measurements of `{experiment}` ({profile})\n", published.display()))?;
        return Ok(Exit::Mismatch);
    }
    let (declaration, numbers) = project.declaration(&rows)?;
    let folder = project.renderings(arguments, &rows.plan)?;
    let differences = published::check(published, &declaration, &numbers, &folder)?;
    for difference in &differences {
        let (path, what) = match difference {
            Difference::Edited(path) => {
                print(&format!("{}\n", recorded::edited_text(path)))?;
                continue;
            }
            Difference::Missing(path) => (path, "is missing"),
            Difference::Differs(path) => (path, "differs from a rendering of the published measurements"),
            Difference::Unexpected(path) => (path, "was rendered before and is no longer part of the report"),
        };
        print(&format!("{} {what}\n", folder.join(path).display()))?;
    }
    if differences.is_empty() {
        print(&format!("{} matches the measurements in {}\n", folder.display(), published.display()))?;
        return Ok(Exit::Done);
    }
    Ok(Exit::Mismatch)
}
