//! Copies of batches to a device. On a GPU they pass through pinned memory: a large copy from other memory waits for
//! all work that the GPU still has to do, and the program could not prepare the next step meanwhile.
#![cfg_attr(feature = "cuda", expect(unsafe_code, reason = "memory is written in full before it counts as numbers"))]

use candle_core::{Device, Result, Shape, Tensor};

/// Copies numbers to one device.
pub struct Uploads {
    device: Device,
    #[cfg(feature = "cuda")]
    pinned: pinned::Buffers,
}

impl Uploads {
    /// Makes copies to a device.
    pub fn to(device: &Device) -> Self {
        Self {
            device: device.clone(),
            #[cfg(feature = "cuda")]
            pinned: pinned::Buffers::default(),
        }
    }

    /// The device.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Returns the numbers as a tensor on the device.
    ///
    /// # Errors
    /// Fails when the shape does not fit, or when the device has no memory left.
    pub fn tensor(&mut self, numbers: Vec<f32>, shape: impl Into<Shape>) -> Result<Tensor> {
        let shape = shape.into();
        #[cfg(feature = "cuda")]
        if let Device::Cuda(device) = &self.device
            && shape.elem_count() == numbers.len()
        {
            return self.pinned.tensor(device, &numbers, shape);
        }
        Tensor::from_vec(numbers, shape, &self.device)
    }
}

#[cfg(feature = "cuda")]
mod pinned {
    use candle_core::cuda_backend::WrapErr;
    use candle_core::cuda_backend::cudarc::driver::{CudaEvent, PinnedHostSlice};
    use candle_core::op::BackpropOp;
    use candle_core::{CudaDevice, CudaStorage, Result, Shape, Storage, Tensor};

    /// Buffers that take turns, so that one can be filled while the copy from the other still waits for its turn.
    #[derive(Default)]
    pub(super) struct Buffers {
        all: [Option<Buffer>; 2],
        turn: usize,
    }

    struct Buffer {
        numbers: PinnedHostSlice<f32>,
        /// Marks the end of the last copy from this buffer. The library records no event of its own as long as a
        /// device has one stream.
        copied: Option<CudaEvent>,
    }

    impl Buffer {
        /// Waits until the last copy has ended.
        fn wait(&mut self) -> Result<()> {
            self.copied.take().map_or(Ok(()), |copied| copied.synchronize().w())
        }
    }

    impl Drop for Buffer {
        fn drop(&mut self) {
            // A device that cannot be waited for has no copy under way either.
            let _ended = self.wait();
        }
    }

    impl Buffers {
        pub(super) fn tensor(&mut self, device: &CudaDevice, numbers: &[f32], shape: Shape) -> Result<Tensor> {
            self.turn = (self.turn + 1) % self.all.len();
            let stream = device.cuda_stream();
            let place = &mut self.all[self.turn];
            if place.as_ref().is_none_or(|buffer| buffer.numbers.len() != numbers.len()) {
                // SAFETY: the buffer is written in full before it is read.
                let room = unsafe { stream.context().alloc_pinned(numbers.len()) }.w()?;
                *place = Some(Buffer { numbers: room, copied: None });
            }
            let Some(buffer) = place else { candle_core::bail!("a buffer was just made") };
            buffer.wait()?;
            buffer.numbers.as_mut_slice().w()?.copy_from_slice(numbers);
            // SAFETY: the copy writes all of it, before anything on this stream reads it.
            let mut slice = unsafe { device.alloc::<f32>(numbers.len()) }?;
            stream.memcpy_htod(&buffer.numbers, &mut slice).w()?;
            buffer.copied = Some(stream.record_event(None).w()?);
            let storage = Storage::Cuda(CudaStorage::wrap_cuda_slice(slice, device.clone()));
            Ok(Tensor::from_storage(storage, shape, BackpropOp::none(), false))
        }
    }
}
