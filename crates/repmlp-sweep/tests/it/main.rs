//! Tests of the whole program: its processes on a tiny experiment, and the rules that the source tree follows.

#![expect(clippy::unwrap_used, reason = "tests and their helpers may panic")]

mod adjusting;
mod again;
mod arithmetic;
mod bench;
mod bench_gpu;
mod benchmark;
mod bundle;
mod chaos;
mod chaos_at_size;
mod claims;
mod cluster;
mod completion;
mod disturbances;
mod docs;
mod doctor;
mod exchange;
mod faults;
mod interruption;
mod latex;
mod numbers;
mod obstacles;
mod own_files;
mod own_trainer;
mod page;
mod power_cut;
mod processes;
mod pruning;
mod road;
mod slurm;
mod slurm_answers;
mod starting;
mod surroundings;
mod tensorboard;
mod throughput;
mod tidy;
mod tidying_up;
mod watch;
