//! The program `repmlp-sweep` with its built-in blocks and networks.

use std::process::ExitCode;

fn main() -> ExitCode {
    repmlp_sweep::run(repmlp_sweep::OwnKinds::new())
}
