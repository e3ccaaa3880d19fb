//! `page`: writes one HTML page that shows a sweep and needs no network.

use std::path::Path;

use anyhow::{Context, Result};
use sweep_protocol::{read_regular_file, write_atomically};

use super::report::recorded_for_report;
use super::{open_results, say, say_damage};
use crate::cli::PageArgs;
use crate::exit::{Exit, UsageError};
use crate::page_data;
use crate::project::Project;

/// Name of the page in the folder of its report.
const PAGE: &str = "page.html";

pub(crate) async fn run(arguments: PageArgs) -> Result<Exit> {
    let project = Project::of(&arguments.path);
    let layout = project.results(&arguments.recorded.results);
    let mut results = open_results(&layout).await?;
    let profile = arguments.recorded.profile();
    let rows = recorded_for_report(&project, &mut results, &layout, (&arguments.path, &profile)).await?.rows;
    say_damage(&mut results);
    let html = sweep_page::file(&page_data::collect(&project, &layout, &rows)?)?;
    let path = match arguments.out {
        Some(path) => path,
        None => project.renderings(&arguments.reports, &rows.plan)?.join(PAGE),
    };
    write(&path, &html)?;
    say(&format!("wrote {}", path.display()));
    Ok(Exit::Done)
}

/// Writes a page. Refuses to replace a file that is no page.
fn write(path: &Path, html: &str) -> Result<()> {
    match read_regular_file(path) {
        Ok(former) if !sweep_page::is_page(&former) => {
            let text = format!("{} is not a page of this program, so it stays; give another --out", path.display());
            return Err(UsageError(text).into());
        }
        _ => {}
    }
    let unwritable = || format!("{} cannot be written", path.display());
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).with_context(unwritable)?;
    }
    write_atomically(path, html.as_bytes()).with_context(unwritable)
}
