//! The device of a command that computes in this process.

use anyhow::Result;
use repmlp_train::{Device, DeviceChoice, DeviceError};

use crate::exit::UsageError;

/// Opens a device: auto, cpu or cuda:N. Returns it with its name, which is never `auto`.
///
/// # Errors
/// When there is no such device.
pub(super) fn opened(name: &str) -> Result<(Device, String)> {
    let chosen = name.parse().map(DeviceChoice::decide);
    let opened = chosen.and_then(|choice| Ok((choice.open()?, choice.to_string())));
    opened.map_err(|fault| match fault {
        DeviceError::Cuda { .. } => anyhow::Error::from(fault),
        DeviceError::Name(_) | DeviceError::NotBuilt => UsageError(fault.to_string()).into(),
    })
}
