//! A submission: the folder with everything that its tasks need, frozen when it is submitted.
//!
//! ```text
//! results/slurm/3/manifest.json   folders of the attempts, in the order of the tasks
//!                 script.sh       what sbatch was given
//!                 output/         what tasks print before they have found their folder
//! results/slurm/program-…         copies of the program, named by their size and time
//! ```

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sweep_protocol::{ResultsLayout, create_folders, create_new_folder, file_stamp, sync_folder, write_atomically};

use crate::error::file;
use crate::{Settings, SlurmError, script};

/// The folders of the attempts of a submission.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Absolute paths, in the order of the tasks.
    pub attempts: Vec<PathBuf>,
}

impl Manifest {
    /// Reads a manifest.
    ///
    /// # Errors
    /// When the file cannot be read or is not a manifest.
    pub fn read(path: &Path) -> Result<Self, SlurmError> {
        let text = fs::read(path).map_err(file(path, "reading"))?;
        serde_json::from_slice(&text).map_err(|fault| file(path, "reading as a manifest")(fault.into()))
    }
}

/// The program that tasks run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Program {
    /// This program. It is copied, so that a later build does not change what tasks run.
    Own(PathBuf),
    /// Another build, which the user names.
    Named(PathBuf),
}

/// The folder of a submission.
#[derive(Clone, Debug)]
pub struct Submission {
    folder: PathBuf,
}

impl Submission {
    /// Writes the folder of a new submission.
    ///
    /// # Errors
    /// When a file cannot be written, or a setting cannot be used.
    pub fn write(
        layout: &ResultsLayout,
        settings: &Settings,
        program: &Program,
        attempts: Vec<PathBuf>,
    ) -> Result<Self, SlurmError> {
        let all = absolute(&layout.submissions())?;
        // What cannot be submitted is refused before anything is written.
        output_pattern(&all)?;
        create_folders(&all).map_err(file(&all, "creating the folder"))?;
        let program = frozen(&all, program)?;
        let folder = next_folder(&all)?;
        let submission = Self { folder };
        let output = submission.folder.join("output");
        create_new_folder(&output).map_err(file(&output, "creating the folder"))?;
        let manifest = submission.manifest();
        let text =
            serde_json::to_vec(&Manifest { attempts }).map_err(|fault| file(&manifest, "writing")(fault.into()))?;
        write_atomically(&manifest, &text).map_err(file(&manifest, "writing"))?;
        let text = script(settings, &program, &manifest)?;
        write_atomically(&submission.script(), text.as_bytes()).map_err(file(submission.script(), "writing"))?;
        Ok(submission)
    }

    /// Returns the submissions of a results folder, and the copies of the program.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn all(layout: &ResultsLayout) -> io::Result<(Vec<Self>, Vec<PathBuf>)> {
        let entries = match fs::read_dir(layout.submissions()) {
            Err(fault) if fault.kind() == io::ErrorKind::NotFound => return Ok((Vec::new(), Vec::new())),
            entries => entries?,
        };
        let (mut submissions, mut programs) = (Vec::new(), Vec::new());
        for entry in entries {
            let entry = entry?;
            let (name, kind) = (entry.file_name(), entry.file_type()?);
            let Some(name) = name.to_str() else { continue };
            if kind.is_dir() && name.parse::<u32>().is_ok() {
                submissions.push(Self { folder: entry.path() });
            } else if kind.is_file() && is_program(name) {
                programs.push(entry.path());
            }
        }
        submissions.sort_by(|a, b| a.folder.cmp(&b.folder));
        programs.sort();
        Ok((submissions, programs))
    }

    /// Returns the files that this program and its tasks wrote, and the folders around them, innermost first.
    pub fn parts(&self) -> (Vec<PathBuf>, [PathBuf; 2]) {
        let output = self.folder.join("output");
        let printed = fs::read_dir(&output).into_iter().flatten().flatten().map(|entry| entry.path());
        let is_text = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "txt");
        let files = printed.filter(is_text).chain([self.manifest(), self.script()]).collect();
        (files, [output, self.folder.clone()])
    }

    /// The manifest.
    pub fn manifest(&self) -> PathBuf {
        self.folder.join("manifest.json")
    }

    /// The script.
    pub fn script(&self) -> PathBuf {
        self.folder.join("script.sh")
    }

    /// The folder itself.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Pattern of the files that tasks print into, in the form of `sbatch --output`.
    ///
    /// # Errors
    /// When the path cannot be part of a pattern.
    pub fn output(&self) -> Result<String, SlurmError> {
        output_pattern(&self.folder)
    }

    /// Removes what the folder of a submission that Slurm refused holds. What cannot be removed stays for `clean`.
    ///
    /// The folder itself stays, so that its number is not given again: an answer may be lost although the job was
    /// accepted. Such a job then finds no manifest and ends.
    pub(crate) fn withdraw(&self) {
        let files = [self.manifest(), self.script()];
        files.iter().for_each(|file| drop(fs::remove_file(file)));
        drop(fs::remove_dir(self.folder.join("output")));
    }
}

/// Returns the pattern of the files that tasks of a submission print into, in the form of `sbatch --output`.
///
/// # Errors
/// When the path of the submission cannot be part of a pattern.
pub fn output_pattern(submission: &Path) -> Result<String, SlurmError> {
    // Slurm would read a backslash as the end of all patterns.
    let folder = submission.to_str().filter(|folder| !folder.contains(['\\', '\n', '\r']));
    let folder = folder.ok_or_else(|| SlurmError::NotText { path: submission.to_owned() })?;
    Ok(format!("{}/output/%A_%a.txt", folder.replace('%', "%%")))
}

/// Returns the program that tasks of a results folder run, as an absolute path that later builds do not change.
///
/// # Errors
/// When the program is not there or cannot be copied.
pub fn program_of(layout: &ResultsLayout, program: &Program) -> Result<PathBuf, SlurmError> {
    let all = absolute(&layout.submissions())?;
    create_folders(&all).map_err(file(&all, "creating the folder"))?;
    frozen(&all, program)
}

fn absolute(path: &Path) -> Result<PathBuf, SlurmError> {
    std::path::absolute(path).map_err(file(path, "finding the absolute path"))
}

/// Creates the next free folder.
fn next_folder(all: &Path) -> Result<PathBuf, SlurmError> {
    let entries = fs::read_dir(all).map_err(file(all, "reading the folder"))?;
    let numbers = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let folder = all.join(numbers.max().unwrap_or(0).saturating_add(1).to_string());
    create_new_folder(&folder).map_err(file(&folder, "creating the folder"))?;
    Ok(folder)
}

/// Beginning of the names of copies of the program, and of copies that are being written.
const COPY: &str = "program-";
const PART: &str = "part-of-program-";

fn is_program(name: &str) -> bool {
    name.starts_with(COPY) || name.starts_with(PART)
}

/// A program that the user names is not there.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {why}; name an executable file")]
pub struct NoProgram {
    path: PathBuf,
    why: String,
}

/// Returns the absolute path of a program that the user names.
///
/// # Errors
/// When there is no executable file.
pub fn named_program(path: &Path) -> Result<PathBuf, NoProgram> {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let no_program = |why: &str| NoProgram { path: path.clone(), why: why.to_owned() };
    match fs::metadata(&path) {
        Err(fault) => Err(no_program(&fault.to_string())),
        Ok(found) if !found.is_file() => Err(no_program("it is not a file")),
        Ok(found) if found.permissions().mode() & 0o111 == 0 => Err(no_program("it may not be executed")),
        Ok(_) => Ok(path),
    }
}

/// Returns the absolute path of a program that later builds do not change.
fn frozen(all: &Path, program: &Program) -> Result<PathBuf, SlurmError> {
    let own = match program {
        Program::Named(path) => return Ok(named_program(path)?),
        Program::Own(path) => path,
    };
    let stamp = file_stamp(own).ok_or_else(|| file(own, "finding the program")(io::ErrorKind::NotFound.into()))?;
    let copy = all.join(format!("{COPY}{}", stamp.replace(',', "-")));
    if copy.is_file() {
        return Ok(copy);
    }
    let temporary = all.join(format!("{PART}{}", std::process::id()));
    // `copy` keeps the permission to execute.
    let copied = fs::copy(own, &temporary)
        .and_then(|_| fs::File::open(&temporary)?.sync_all())
        .and_then(|()| fs::rename(&temporary, &copy))
        .and_then(|()| sync_folder(all));
    if copied.is_err() {
        // The first error counts. On a full disk, a part of a program would only make it worse.
        drop(fs::remove_file(&temporary));
    }
    copied.map_err(file(&copy, "copying the program"))?;
    Ok(copy)
}
