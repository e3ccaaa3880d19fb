//! Chooses the arithmetic of a sweep: one for all its runs, so that their results can be compared.
//!
//! Results of different instruction sets differ in their last digits. Training enlarges such differences to several
//! points of accuracy.

use std::collections::BTreeSet;

use anyhow::Result;
use repmlp_kernels::{instruction_set, instruction_sets};
use repmlp_train::{DeviceChoice, TRAINER_VERSION};
use sweep_protocol::{Arithmetic, RunRow, Status};

use crate::exit::UsageError;

/// Returns the arithmetic of this call. The first of these that applies decides:
///
/// 1. the instruction set that the experiment names,
/// 2. the one that `REPMLP_KERNELS` names,
/// 3. the arithmetic of the existing runs,
/// 4. the best instruction set of this processor.
///
/// # Errors
/// When this processor does not have the named instruction set, when devices of two kinds are requested, or when
/// finished runs were computed with another arithmetic and the experiment names none.
pub(crate) fn choose<'a>(
    named: Option<&str>,
    devices: &[DeviceChoice],
    known: impl Iterator<Item = &'a RunRow>,
) -> Result<Arithmetic> {
    let kinds: BTreeSet<String> = devices.iter().map(|device| device.arithmetic().device).collect();
    if kinds.len() > 1 {
        let kinds: Vec<String> = kinds.into_iter().collect();
        let message = format!(
            "--device: results of {} differ in their last digits, so a sweep cannot mix them: name devices of one kind",
            kinds.join(" and ")
        );
        return Err(UsageError(message).into());
    }
    let device = devices.first().copied().unwrap_or(DeviceChoice::Cpu).arithmetic().device;
    let own = |kernels: &str| DeviceChoice::arithmetic_of(&device, kernels);
    let (mut done, mut begun) = (BTreeSet::new(), BTreeSet::new());
    for row in known.filter(|row| row.trainer_version == Some(TRAINER_VERSION)) {
        let Some(arithmetic) = &row.arithmetic else { continue };
        if row.status == Status::Succeeded {
            done.insert(arithmetic.clone());
        } else if row.checkpoint_step > 0 {
            begun.insert(arithmetic.clone());
        }
    }
    if device != "cpu" {
        return refuse_mixture(own("-"), &done);
    }
    let available = instruction_sets();
    if let Some(named) = named {
        if !available.iter().any(|set| set == named) {
            let available = available.join(", ");
            let message = format!("exec.kernels = \"{named}\": this processor has {available}; name one of these");
            return Err(UsageError(message).into());
        }
        return Ok(own(named));
    }
    let is_chosen_by_hand = std::env::var_os("REPMLP_KERNELS").is_some_and(|name| !name.is_empty());
    let there = if done.is_empty() { &begun } else { &done };
    let of_runs = there.first().filter(|other| there.len() == 1 && available.iter().any(|set| own(set) == **other));
    match of_runs.filter(|_| !is_chosen_by_hand) {
        Some(other) => Ok(other.clone()),
        None => refuse_mixture(own(&instruction_set()), &done),
    }
}

fn refuse_mixture(own: Arithmetic, done: &BTreeSet<Arithmetic>) -> Result<Arithmetic> {
    let others: Vec<String> = done.iter().filter(|other| **other != own).map(|other| format!("`{other}`")).collect();
    if others.is_empty() {
        return Ok(own);
    }
    let message = format!(
        "runs of this plan were computed with {}, but this call would compute with `{own}`: such results differ in \
         their last digits and are not mixed. Name an instruction set that all machines have in the experiment file \
         (`[exec]` with `kernels = \"avx2\"`): runs computed with another set are then measured again. Or use another \
         results folder with --results DIR",
        others.join(", ")
    );
    Err(UsageError(message).into())
}

/// Returns the arithmetic of a run if it is not the one that the experiment names.
pub(crate) fn other<'a>(named: Option<&str>, row: &'a RunRow) -> Option<&'a Arithmetic> {
    row.arithmetic.as_ref().filter(|found| found.device == "cpu" && named.is_some_and(|named| named != found.kernels))
}

#[cfg(test)]
mod tests {
    use sweep_protocol::RunId;

    use super::*;

    fn row(status: Status, arithmetic: &Arithmetic) -> RunRow {
        RunRow {
            run: RunId::of("{}", 0),
            status,
            message: None,
            attempts: 1,
            trainer_version: Some(TRAINER_VERSION),
            arithmetic: Some(arithmetic.clone()),
            processor: None,
            data_fingerprint: None,
            checkpoint_step: 7,
        }
    }

    #[test]
    fn existing_runs_decide_unless_the_experiment_names_a_set() {
        let cpu = [DeviceChoice::Cpu];
        let best = DeviceChoice::Cpu.arithmetic();
        let plain = DeviceChoice::arithmetic_of("cpu", "plain");
        let foreign = DeviceChoice::arithmetic_of("cpu", "neon");
        let chosen = |named, rows: &[RunRow]| choose(named, &cpu, rows.iter());
        assert_eq!(chosen(None, &[]).unwrap(), best);
        assert_eq!(chosen(None, &[row(Status::Succeeded, &plain)]).unwrap(), plain);
        assert_eq!(chosen(None, &[row(Status::Cancelled, &plain)]).unwrap(), plain);
        assert_eq!(chosen(None, &[row(Status::Cancelled, &foreign)]).unwrap(), best, "the run starts again");
        assert_eq!(chosen(Some("plain"), &[row(Status::Succeeded, &best)]).unwrap(), plain);
        let refused = chosen(None, &[row(Status::Succeeded, &foreign)]).unwrap_err().to_string();
        assert!(refused.contains("`cpu neon ") && refused.contains("kernels = \"avx2\""), "{refused}");
        let lacking = chosen(Some("neon"), &[]).unwrap_err().to_string();
        assert!(lacking.starts_with("exec.kernels = \"neon\": this processor has plain"), "{lacking}");
        let older = RunRow { trainer_version: Some(0), ..row(Status::Succeeded, &foreign) };
        assert_eq!(chosen(None, &[older]).unwrap(), best, "it is measured again anyway");
    }

    #[test]
    fn runs_of_another_set_than_the_named_one_are_found() {
        let plain = row(Status::Succeeded, &DeviceChoice::arithmetic_of("cpu", "plain"));
        assert!(other(None, &plain).is_none() && other(Some("plain"), &plain).is_none());
        assert_eq!(other(Some("avx2"), &plain), plain.arithmetic.as_ref());
        assert!(other(Some("avx2"), &row(Status::Succeeded, &DeviceChoice::arithmetic_of("cuda", "-"))).is_none());
    }
}
