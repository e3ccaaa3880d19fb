//! `repmlp-sweep` with one more block: spatial gating.

mod spatial_gating;

use std::process::ExitCode;

use repmlp_sweep::OwnKinds;

fn main() -> ExitCode {
    repmlp_sweep::run(OwnKinds::new().block::<spatial_gating::SpatialGatingConfig>("spatial-gating"))
}
