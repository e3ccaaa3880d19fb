//! The published tables in a real LaTeX: they compile, and nothing is wider than a line. Without LaTeX the test is
//! skipped, except in CI.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::bench::{repository, skipped};

/// Returns the tables of all published reports, sorted.
fn tables() -> Vec<PathBuf> {
    let entries = |folder: &Path| fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let reports: Vec<PathBuf> = entries(&repository().join("reports")).collect();
    let profiles: Vec<PathBuf> = reports.iter().flat_map(|report| entries(report)).collect();
    let files = profiles.iter().flat_map(|profile| entries(profile));
    let mut found: Vec<PathBuf> = files.filter(|file| file.extension().is_some_and(|end| end == "tex")).collect();
    found.sort();
    found
}

#[test]
fn every_published_table_compiles_and_fits_the_page() {
    if Command::new("pdflatex").arg("--version").stdout(Stdio::null()).status().is_err() {
        assert!(std::env::var_os("CI").is_none(), "LaTeX must be installed in CI: `pdflatex` is missing");
        return skipped("LaTeX", "`pdflatex` is not installed");
    }
    let folder = tempfile::tempdir().unwrap();
    let mut document = "\\documentclass{article}\n\\usepackage[a4paper,margin=25mm]{geometry}\n\
                        \\usepackage{booktabs,graphicx,siunitx}\n\\begin{document}\n"
        .to_owned();
    let tables = tables();
    assert!(tables.len() > 5, "{tables:?}");
    for table in &tables {
        document +=
            &format!("\\typeout{{table {}}}\n{}\\clearpage\n", table.display(), fs::read_to_string(table).unwrap());
    }
    fs::write(folder.path().join("tables.tex"), document + "\\end{document}\n").unwrap();
    let mut latex = Command::new("pdflatex");
    latex.args(["-halt-on-error", "-interaction=nonstopmode", "tables.tex"]).current_dir(folder.path());
    let output = latex.env("max_print_line", "500").stdin(Stdio::null()).output().unwrap();
    let log = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{log}");
    let wide: Vec<&str> = log.lines().filter(|line| line.contains("Overfull") || line.contains("Undefined")).collect();
    assert_eq!(wide, Vec::<&str>::new(), "{log}");
}
