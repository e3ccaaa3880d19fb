//! What this build can use besides the CPU, for a person who asks.

use crate::device::DeviceChoice;

/// A GPU as the CUDA driver describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gpu {
    /// Its name for `--device`.
    pub device: DeviceChoice,
    /// Its model.
    pub model: String,
    /// Compute capability: major and minor number.
    pub capability: (u32, u32),
    /// Free and total bytes of its memory.
    pub memory: (u64, u64),
}

/// Why no GPU can be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoGpu {
    /// The program was built without CUDA.
    #[error("this program was built without CUDA")]
    NotBuilt,
    /// The driver gives none.
    #[error("the CUDA driver gives no GPU: {0}")]
    Driver(String),
}

/// Returns the GPUs that this process may use, in the order of their numbers.
///
/// # Errors
/// When the build has no CUDA, or the driver gives no GPU.
#[cfg(not(feature = "cuda"))]
pub fn gpus() -> Result<Vec<Gpu>, NoGpu> {
    Err(NoGpu::NotBuilt)
}

/// Returns the GPUs that this process may use, in the order of their numbers.
///
/// # Errors
/// When the build has no CUDA, or the driver gives no GPU.
#[cfg(feature = "cuda")]
pub fn gpus() -> Result<Vec<Gpu>, NoGpu> {
    use candle_core::cuda_backend::cudarc::driver::{CudaContext, DriverError};

    let fault = |fault: DriverError| NoGpu::Driver(fault.to_string());
    let count = usize::try_from(CudaContext::device_count().map_err(fault)?).unwrap_or(0);
    if count == 0 {
        return Err(NoGpu::Driver("it knows none, or CUDA_VISIBLE_DEVICES hides all".to_owned()));
    }
    let gpu = |number| {
        let context = CudaContext::new(number)?;
        let (major, minor) = context.compute_capability()?;
        let (free, total) = context.mem_get_info()?;
        Ok(Gpu {
            device: DeviceChoice::Cuda(number),
            model: context.name()?,
            capability: (major.unsigned_abs(), minor.unsigned_abs()),
            memory: (free as u64, total as u64),
        })
    };
    (0..count).map(gpu).collect::<Result<_, DriverError>>().map_err(fault)
}
