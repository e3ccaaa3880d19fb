//! Attempts as tasks of Slurm job arrays.
//!
//! On the login node, [`Slurm`] is a launcher: it writes a submission (script, manifest, copy of the program), submits
//! it as arrays, asks for the queue now and then, and follows the journals of tasks. On a node, [`start`] finds the
//! folder that a task may write to. Slurm is the truth about processes, and journals are the truth about runs.
//!
//! ```text
//! login node   Prepared -> Submission -> sbatch -> squeue -> follow journals -> close
//! node         script -> program task MANIFEST INDEX -> start -> train -> requeue
//! ```
//!
//! Slurm may run a task twice at the same time: after a lost connection, the first copy goes on beside the second. Each
//! start takes a folder of its own and takes the right to write from the start before it. So the copies never write the
//! same file, and only the last one counts.

mod cluster;
mod error;
mod launcher;
mod queue;
mod script;
mod settings;
mod start;
mod submission;

pub use cluster::{Cluster, Say};
pub use error::SlurmError;
pub use launcher::{After, Slurm, SlurmTask};
pub use script::script;
pub use settings::Settings;
pub use start::{Start, start};
pub use submission::{Manifest, NoProgram, Program, Submission, named_program, output_pattern, program_of};
