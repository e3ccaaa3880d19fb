//! Memory of a GPU that this process uses. For other devices, and for drivers without memory pools, nothing is told and
//! nothing changes.
#![cfg_attr(feature = "cuda", expect(unsafe_code, reason = "the driver reads and writes plain numbers"))]

use candle_core::{Device, Result};

/// Returns the bytes in use. Memory that is kept for later is not counted.
///
/// # Errors
/// When the driver fails.
pub fn in_use(device: &Device) -> Result<Option<u64>> {
    number(device, Number::InUse)
}

/// Returns the most bytes in use at a time, since the last [`forget_most`].
///
/// # Errors
/// When the driver fails.
pub fn most_in_use(device: &Device) -> Result<Option<u64>> {
    number(device, Number::MostInUse)
}

/// Begins to look for the most bytes anew.
///
/// # Errors
/// When the driver fails.
pub fn forget_most(device: &Device) -> Result<()> {
    set(device, Number::MostInUse, 0)
}

/// Keeps freed memory for later tensors of this process until its end. The driver would give it back whenever the
/// device has done all its work, and a step would begin by asking for it again.
///
/// # Errors
/// When the driver fails.
pub fn keep_freed(device: &Device) -> Result<()> {
    set(device, Number::Kept, u64::MAX)
}

/// A number that the driver knows of the memory of a device.
#[derive(Clone, Copy)]
enum Number {
    InUse,
    MostInUse,
    Kept,
}

#[cfg(not(feature = "cuda"))]
fn number(_device: &Device, _number: Number) -> Result<Option<u64>> {
    Ok(None)
}

#[cfg(not(feature = "cuda"))]
fn set(_device: &Device, _number: Number, _value: u64) -> Result<()> {
    Ok(())
}

#[cfg(feature = "cuda")]
use on_gpu::{number, set};

#[cfg(feature = "cuda")]
mod on_gpu {
    use candle_core::cuda_backend::WrapErr;
    use candle_core::cuda_backend::cudarc::driver::{result, sys};
    use candle_core::{CudaDevice, Device, Result};

    use super::Number;

    impl Number {
        fn attribute(self) -> sys::CUmemPool_attribute {
            match self {
                Self::InUse => sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_USED_MEM_CURRENT,
                Self::MostInUse => sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_USED_MEM_HIGH,
                Self::Kept => sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD,
            }
        }
    }

    pub(super) fn number(device: &Device, number: Number) -> Result<Option<u64>> {
        let Some(device) = with_pool(device) else { return Ok(None) };
        let mut value = 0u64;
        // SAFETY: the pool is that of a device which is open, and all of these numbers have 64 bits.
        unsafe { result::mem_pool::get_attribute(pool(device)?, number.attribute(), (&raw mut value).cast()) }.w()?;
        Ok(Some(value))
    }

    pub(super) fn set(device: &Device, number: Number, mut value: u64) -> Result<()> {
        let Some(device) = with_pool(device) else { return Ok(()) };
        // SAFETY: as above.
        unsafe { result::mem_pool::set_attribute(pool(device)?, number.attribute(), (&raw mut value).cast()) }.w()
    }

    /// Returns a GPU whose driver has memory pools. Some virtual GPUs have none.
    fn with_pool(device: &Device) -> Option<&CudaDevice> {
        let Device::Cuda(device) = device else { return None };
        device.cuda_stream().context().has_async_alloc().then_some(device)
    }

    fn pool(device: &CudaDevice) -> Result<sys::CUmemoryPool> {
        // SAFETY: the device is open.
        unsafe { result::device::get_default_mem_pool(device.cuda_stream().context().cu_device()) }.w()
    }
}
