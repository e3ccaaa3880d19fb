//! The event file of one run. It holds each of the run's measurements once.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use sweep_protocol::{Measurement, create_folders, now_ms};

use crate::record::{Scalar, first_record, read};

/// Beginning of the names of event files. TensorBoard finds them by it.
const PREFIX: &str = "events.out.tfevents.";
/// End of the names of the files that this crate writes. It leaves all others alone.
const SUFFIX: &str = ".repmlp-sweep";

/// The event file of one run.
///
/// Values are added in any order, and each one once, also by a later process. If a run measures another value than the
/// file holds, for example after a new training, the file is replaced.
#[derive(Debug)]
pub struct RunLog {
    folder: PathBuf,
    /// The file, once there is one.
    file: Option<(PathBuf, File)>,
    /// The bits of the values in it, by tag and step.
    written: BTreeMap<(String, u64), u32>,
}

impl RunLog {
    /// Opens the file of a run in `folder`, or prepares a new one. A damaged end is cut off.
    ///
    /// # Errors
    /// When the folder or a file cannot be read or written.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let mut log = Self { folder: folder.to_owned(), file: None, written: BTreeMap::new() };
        let Some(path) = own_files(folder)?.pop() else { return Ok(log) };
        let bytes = fs::read(&path)?;
        let (scalars, intact) = read(&bytes);
        if intact == 0 {
            return Ok(log);
        }
        let file = OpenOptions::new().append(true).open(&path)?;
        file.set_len(intact as u64)?;
        log.written = scalars.into_iter().map(|scalar| ((scalar.tag, scalar.step), scalar.value.to_bits())).collect();
        log.file = Some((path, file));
        Ok(log)
    }

    /// Adds new measurements, each at a place that has none yet. `all` are all measurements of the run, with the new
    /// ones; they are written again if the file has another value at such a place. `at_ms` is the time of the new
    /// ones, in milliseconds since 1970.
    ///
    /// # Errors
    /// When a file cannot be written or removed.
    pub fn add(&mut self, new: &[Measurement], all: &[Measurement], at_ms: u64) -> io::Result<()> {
        let is_other = |scalar: &Scalar| self.written(scalar).is_some_and(|bits| bits != scalar.value.to_bits());
        if new.iter().map(scalar).any(|scalar| is_other(&scalar)) {
            self.begin_again()?;
            return self.append(all, at_ms);
        }
        self.append(new, at_ms)
    }

    /// Makes the file hold exactly these measurements: all of a run. `at_ms` is the time of those that it lacks.
    ///
    /// # Errors
    /// When a file cannot be written or removed.
    pub fn complete(&mut self, all: &[Measurement], at_ms: u64) -> io::Result<()> {
        let places: BTreeMap<(String, u64), u32> =
            all.iter().map(scalar).map(|scalar| ((scalar.tag, scalar.step), scalar.value.to_bits())).collect();
        if self.written.iter().any(|(place, bits)| places.get(place) != Some(bits)) {
            self.begin_again()?;
        }
        self.append(all, at_ms)
    }

    fn written(&self, scalar: &Scalar) -> Option<u32> {
        self.written.get(&(scalar.tag.clone(), scalar.step)).copied()
    }

    /// Appends the measurements whose places have no value. Of two for the same place, the last one counts.
    fn append(&mut self, measured: &[Measurement], at_ms: u64) -> io::Result<()> {
        let places: BTreeMap<(String, u64), Scalar> =
            measured.iter().map(scalar).map(|scalar| ((scalar.tag.clone(), scalar.step), scalar)).collect();
        let new: Vec<Scalar> = places.into_values().filter(|scalar| self.written(scalar).is_none()).collect();
        if new.is_empty() {
            return Ok(());
        }
        let seconds = at_ms as f64 / 1000.0;
        let records: Vec<u8> = new.iter().flat_map(|scalar| scalar.record(seconds)).collect();
        self.file(seconds)?.write_all(&records)?;
        self.written.extend(new.into_iter().map(|scalar| ((scalar.tag, scalar.step), scalar.value.to_bits())));
        Ok(())
    }

    /// Removes the file. The next values go to a new one.
    fn begin_again(&mut self) -> io::Result<()> {
        self.file = None;
        self.written.clear();
        own_files(&self.folder)?.iter().try_for_each(fs::remove_file)
    }

    /// Returns the file, and makes it if there is none. A new file has a name of its own, since a TensorBoard that runs
    /// holds the old one open.
    fn file(&mut self, seconds: f64) -> io::Result<&mut File> {
        if self.file.is_none() {
            create_folders(&self.folder)?;
            let (path, mut file) = new_file(&self.folder)?;
            file.write_all(&first_record(seconds))?;
            self.file = Some((path, file));
        }
        match &mut self.file {
            Some((_, file)) => Ok(file),
            None => Err(io::Error::other("no event file")),
        }
    }
}

/// Makes a file whose name is later than all names before it.
fn new_file(folder: &Path) -> io::Result<(PathBuf, File)> {
    let mut at_ms = now_ms();
    loop {
        let path = folder.join(format!("{PREFIX}{:010}.{:03}{SUFFIX}", at_ms / 1000, at_ms % 1000));
        match OpenOptions::new().append(true).create_new(true).open(&path) {
            Err(fault) if fault.kind() == io::ErrorKind::AlreadyExists => at_ms += 1,
            opened => return Ok((path, opened?)),
        }
    }
}

/// Returns the files in a folder that this crate wrote, by time.
fn own_files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries.collect::<io::Result<Vec<_>>>()?,
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(fault) => return Err(fault),
    };
    let is_own = |name: &str| name.starts_with(PREFIX) && name.ends_with(SUFFIX);
    let own = entries.into_iter().filter(|entry| entry.file_name().to_str().is_some_and(is_own));
    let mut paths: Vec<PathBuf> = own.map(|entry| entry.path()).collect();
    paths.sort();
    Ok(paths)
}

/// The tag is metric, split and form, as far as the measurement has them; the step is the epoch, or 0.
fn scalar(measurement: &Measurement) -> Scalar {
    let Measurement { metric, split, form, epoch, value } = measurement;
    let split = split.map(|split| format!("/{}", split.name())).unwrap_or_default();
    let form = form.map(|form| format!("/{}", form.name())).unwrap_or_default();
    let tag = format!("{}{split}{form}", metric.name());
    Scalar { tag, step: u64::from(epoch.unwrap_or_default()), value: *value as f32 }
}

/// Longest name of a folder that is made from a label, in bytes. File systems allow 255.
const MOST_BYTES: usize = 200;

/// Returns a name of a folder for a label such as `groups=2 seed 0`. Characters that are not letters, digits or one of
/// `.-_=,+` become `_`.
pub fn folder_name(label: &str) -> String {
    let plain = |c: char| if c.is_alphanumeric() || ".-_=,+".contains(c) { c } else { '_' };
    let mut name: String = label.chars().map(plain).collect();
    while name.len() > MOST_BYTES {
        name.pop();
    }
    // A leading dot would hide the folder.
    name.strip_prefix('.').map_or(name.clone(), |rest| format!("_{rest}"))
}

#[cfg(test)]
mod tests {
    use sweep_protocol::{Form, Metric, Split};

    use super::*;

    fn loss(epoch: u32, value: f64) -> Measurement {
        let (split, form) = (Some(Split::Train), Some(Form::Training));
        Measurement { metric: Metric::Loss, split, form, epoch: Some(epoch), value }
    }

    fn written(folder: &Path) -> Vec<(String, u64, f32)> {
        let files = own_files(folder).unwrap();
        assert!(files.len() <= 1, "{files:?}");
        let scalars = files.iter().flat_map(|path| read(&fs::read(path).unwrap()).0);
        scalars.map(|scalar| (scalar.tag, scalar.step, scalar.value)).collect()
    }

    fn add(folder: &Path, all: &[Measurement]) {
        RunLog::open(folder).unwrap().add(all, all, 5000).unwrap();
    }

    #[test]
    fn each_value_is_written_once_also_by_later_processes() {
        let folder = tempfile::tempdir().unwrap();
        let runs = folder.path().join("groups=2");
        let tag = || "loss/train/training".to_owned();
        add(&runs, &[]);
        assert!(!runs.exists(), "nothing is made without values");
        add(&runs, &[loss(1, 0.5)]);
        add(&runs, &[loss(1, 0.5), loss(2, 0.25)]);
        add(&runs, &[loss(2, 0.25), loss(1, 0.5)]);
        assert_eq!(written(&runs), [(tag(), 1, 0.5), (tag(), 2, 0.25)]);
    }

    #[test]
    fn a_run_that_measures_something_else_gets_a_new_file() {
        let folder = tempfile::tempdir().unwrap();
        add(folder.path(), &[loss(1, 0.5), loss(2, 0.25)]);
        let foreign = folder.path().join("events.out.tfevents.1.mine");
        fs::write(&foreign, "mine").unwrap();
        add(folder.path(), &[loss(1, 0.75)]);
        assert_eq!(written(folder.path()), [("loss/train/training".to_owned(), 1, 0.75)]);
        assert!(foreign.exists());
        RunLog::open(folder.path()).unwrap().complete(&[loss(2, 0.25)], 5000).unwrap();
        assert_eq!(written(folder.path()), [("loss/train/training".to_owned(), 2, 0.25)]);
    }

    #[test]
    fn a_cut_file_is_completed() {
        let folder = tempfile::tempdir().unwrap();
        let all = [loss(1, 0.5), loss(2, 0.25)];
        add(folder.path(), &all);
        let path = own_files(folder.path()).unwrap().remove(0);
        let whole = fs::read(&path).unwrap();
        for length in [0, 3, 30, whole.len() - 1] {
            fs::write(&path, &whole[..length]).unwrap();
            add(folder.path(), &all);
            let files = own_files(folder.path()).unwrap();
            let latest = read(&fs::read(files.last().unwrap()).unwrap()).0;
            assert_eq!(latest.len(), 2, "cut at {length}");
            files.iter().filter(|file| **file != path).for_each(|file| fs::remove_file(file).unwrap());
        }
    }

    #[test]
    fn labels_become_names_of_folders() {
        assert_eq!(folder_name("groups=2 kernels=1,3 seed 0"), "groups=2_kernels=1,3_seed_0");
        assert_eq!(folder_name("../a\\b\u{1b}"), "_._a_b_");
        assert_eq!(folder_name(&"é".repeat(200)), "é".repeat(100));
    }
}
