//! The device of a run: `auto`, `cpu` or `cuda:N`.

use std::fmt;
use std::str::FromStr;

use candle_core::Device;
use repmlp_kernels::device_memory;
use sweep_protocol::Arithmetic;

/// The requested device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceChoice {
    /// The first CUDA device if this build and this machine have one, else the CPU.
    Auto,
    /// The CPU.
    Cpu,
    /// The CUDA device with this number.
    Cuda(usize),
}

/// A device cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// The text is not a device name.
    #[error("`{0}` is not a device: use auto, cpu or cuda:N")]
    Name(String),
    /// The program was built without CUDA.
    #[error("this program was built without CUDA: build it with `--features cuda`, or use --device cpu")]
    NotBuilt,
    /// The CUDA driver refused.
    #[error("cuda:{number} cannot be used")]
    Cuda {
        /// Number of the device.
        number: usize,
        /// Cause of the failure.
        source: candle_core::Error,
    },
}

impl DeviceChoice {
    /// Replaces `auto` with a concrete device.
    pub fn decide(self) -> Self {
        match self {
            Self::Auto if candle_core::utils::cuda_is_available() && Device::new_cuda(0).is_ok() => Self::Cuda(0),
            Self::Auto => Self::Cpu,
            decided => decided,
        }
    }

    /// Opens the device.
    ///
    /// # Errors
    /// When the device is not available.
    pub fn open(self) -> Result<Device, DeviceError> {
        match self.decide() {
            Self::Cuda(_) if !candle_core::utils::cuda_is_available() => Err(DeviceError::NotBuilt),
            Self::Cuda(number) => {
                let fault = |source| DeviceError::Cuda { number, source };
                let device = Device::new_cuda(number).map_err(fault)?;
                device_memory::keep_freed(&device).map_err(fault)?;
                Ok(device)
            }
            Self::Auto | Self::Cpu => Ok(Device::Cpu),
        }
    }
}

/// Version of candle. A test compares it with the lock file.
const CANDLE: &str = "0.11.1";

impl DeviceChoice {
    /// Returns the arithmetic of this process on this device.
    pub fn arithmetic(self) -> Arithmetic {
        match self.decide() {
            Self::Cuda(_) => Self::arithmetic_of("cuda", "-"),
            Self::Auto | Self::Cpu => Self::arithmetic_of("cpu", &repmlp_kernels::instruction_set()),
        }
    }

    /// Returns the model of the GPU, if this device is one and the driver says which. If the machine has GPUs of
    /// several models, their order is not known.
    pub(crate) fn gpu_model(self) -> Option<String> {
        let Self::Cuda(_) = self.decide() else { return None };
        let model = |gpu: std::io::Result<std::fs::DirEntry>| {
            let text = std::fs::read_to_string(gpu.ok()?.path().join("information")).ok()?;
            text.lines().find_map(|line| Some(line.strip_prefix("Model:")?.trim().to_owned()))
        };
        let gpus = std::fs::read_dir("/proc/driver/nvidia/gpus").into_iter().flatten();
        let mut models: Vec<String> = gpus.filter_map(model).collect();
        models.dedup();
        models.pop().filter(|_| models.is_empty())
    }

    /// Returns the arithmetic of this program version for a kind of device and an instruction set.
    pub fn arithmetic_of(device: &str, kernels: &str) -> Arithmetic {
        let libraries = format!("candle-{CANDLE}+kernels-{}", repmlp_kernels::VERSION);
        Arithmetic { device: device.to_owned(), kernels: kernels.to_owned(), libraries }
    }
}

impl FromStr for DeviceChoice {
    type Err = DeviceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            _ => text
                .strip_prefix("cuda:")
                .and_then(|number| number.parse().ok())
                .map(Self::Cuda)
                .ok_or_else(|| DeviceError::Name(text.to_owned())),
        }
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(number) => write!(f, "cuda:{number}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_and_others_are_refused() {
        for name in ["auto", "cpu", "cuda:0", "cuda:3"] {
            assert_eq!(name.parse::<DeviceChoice>().unwrap().to_string(), name);
        }
        for name in ["", "gpu", "cuda:", "cuda:x", "cuda:-1"] {
            assert!(name.parse::<DeviceChoice>().is_err(), "{name}");
        }
    }
}
