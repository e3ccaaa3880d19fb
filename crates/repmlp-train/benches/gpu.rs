//! Marks one step of each case for a profiler, on the first GPU. `.ci/count-operations` counts what each asks of a GPU.
//!
//!     cargo bench --package repmlp-train --features cuda --bench gpu

use repmlp_train::DeviceChoice;
use repmlp_train::bench::{Suite, device};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let gpu = DeviceChoice::Cuda(0).open()?;
    for suite in [Suite::Train, Suite::Infer] {
        device::mark_steps(&gpu, suite, |name| println!("{name}"))?;
    }
    Ok(())
}
