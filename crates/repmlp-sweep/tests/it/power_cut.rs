//! Power cuts: everything that the program reported as done is on the disk, and the same command continues from there.
//!
//! The project is on a file system inside an image file. A copy of this file is what a machine finds on its disk after
//! a power cut at that moment: everything that the file system still had in memory is lost. The regular write-back of
//! the file system is off, so that a missing fsync shows.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use rustix::process::Pid;
use tempfile::TempDir;

use crate::bench::{Bench, skipped};
use crate::processes::{kill, stop, system, workers};

const SWEEP: &str = "experiments/tiny.toml --profile cut --slots 1";
const EPOCHS: u32 = 10;

/// Mount options for the order of writes. With the first, the content of a file reaches the disk before its length.
/// With the second it may be the other way round, so that the end of a file that was not synced consists of zeros.
const ORDERS: [&str; 2] = ["data=ordered", "data=writeback,nodelalloc"];

/// A project on a separate disk.
struct Disk {
    bench: Bench,
    images: TempDir,
    cuts: usize,
}

impl Disk {
    /// Makes a disk with the tiny experiment. Returns the reason if that is not possible on this machine.
    fn new() -> Result<Self, String> {
        if !rustix::process::geteuid().is_root() {
            return Err("only root can mount a file system".to_owned());
        }
        let disk = Self { bench: Bench::empty(), images: tempfile::tempdir().unwrap(), cuts: 0 };
        let image = disk.image();
        std::fs::File::create(&image).and_then(|file| file.set_len(40 << 20)).unwrap();
        // The file system is initialised completely, so that the kernel has nothing to write later.
        let at_once = "lazy_itable_init=0,lazy_journal_init=0";
        system(&["mkfs.ext4", "-q", "-F", "-J", "size=4", "-E", at_once, text(&image)])?;
        disk.mount()?;
        disk.bench.fill();
        disk.bench.add_profile("cut", EPOCHS, 1);
        system(&["sync", "-f", text(disk.bench.folder())])?;
        Ok(disk)
    }

    /// Returns the path of the image file.
    fn image(&self) -> PathBuf {
        self.images.path().join(self.cuts.to_string())
    }

    fn mount(&self) -> Result<(), String> {
        let order = ORDERS[self.cuts % ORDERS.len()];
        let options = format!("loop,commit=300,noauto_da_alloc,{order}");
        system(&["mount", "-t", "ext4", "-o", &options, text(&self.image()), text(self.bench.folder())])
    }

    /// Starts the sweep and cuts the power when a line of its standard error contains `word`, or when it has ended.
    /// Then mounts the disk again. Returns the standard error until the cut.
    fn run_until(&mut self, word: &str) -> String {
        let mut child = self.bench.command(SWEEP).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut said = String::new();
        let mut read = usize::MAX;
        while read > 0 && !said.lines().next_back().unwrap_or_default().contains(word) {
            read = stderr.read_line(&mut said).unwrap();
        }
        // All processes are stopped before the copy is made, since copying takes time.
        let scheduler = Pid::from_child(&child);
        stop(scheduler);
        let workers = workers(self.bench.folder());
        workers.iter().for_each(|&worker| stop(worker));
        let before = self.image();
        self.cuts += 1;
        std::fs::copy(&before, self.image()).unwrap();
        kill(&workers);
        child.kill().unwrap();
        child.wait().unwrap();
        stderr.read_to_string(&mut said).unwrap();
        system(&["umount", text(self.bench.folder())]).unwrap();
        std::fs::remove_file(before).unwrap();
        self.mount().unwrap();
        said
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        kill(&workers(self.bench.folder()));
        let folder = text(self.bench.folder());
        // If mounting failed, nothing is mounted. A mount that is in use is unmounted when it is no longer used.
        if system(&["umount", folder]).is_err() {
            system(&["umount", "-l", folder]).ok();
        }
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Cuts the power repeatedly until the sweep is finished. After each cut, checks the runs that were reported as done.
/// `round` shifts the cuts.
fn survive(disk: &mut Disk, expected: &[String], round: u32) {
    let epoch = |group: u32, epoch: u32| format!("groups={group} epoch {}/{EPOCHS}", epoch + round % 4);
    let cuts = [
        "groups=1 started".to_owned(),
        epoch(1, 1),
        epoch(1, 3),
        "groups=1 done".to_owned(),
        epoch(2, 2),
        "groups=2 done".to_owned(),
        "is never printed".to_owned(),
    ];
    let mut done = BTreeSet::new();
    let mut last = String::new();
    for (number, word) in cuts.iter().enumerate() {
        let said = disk.run_until(word);
        done.extend(said.lines().filter_map(|line| line.strip_suffix(" done").map(str::to_owned)));
        let status = disk.bench.run("status tiny --profile cut").stdout();
        let lost =
            done.iter().find(|label| !status.lines().any(|line| line.contains(*label) && line.contains("succeeded")));
        assert_eq!(lost, None, "round {round}, cut {number} at `{word}`\n{said}\n{status}");
        last = said;
    }
    let check = disk.bench.done("report --check").stdout();
    assert!(check.contains("matches"), "{check}\n{last}");
    disk.bench.done("rebuild");
    let again = disk.bench.done(SWEEP).stderr();
    assert!(again.contains("0 of 2 runs to do, 2 done and reused"), "round {round}: {again}");
    assert_eq!(disk.bench.measurements("cut"), expected, "round {round}");
}

#[test]
fn a_power_cut_loses_nothing_that_was_reported_as_done() {
    let rounds = std::env::var("REPMLP_SWEEP_ROUNDS").map_or(1, |rounds| rounds.parse().unwrap());
    let bench = Bench::new();
    bench.add_profile("cut", EPOCHS, 1);
    bench.done(SWEEP);
    let expected = bench.measurements("cut");
    for round in 0..rounds {
        match Disk::new() {
            Ok(mut disk) => survive(&mut disk, &expected, round),
            Err(why) => return skipped("a power cut", &why),
        }
    }
}
