//! A process sees only the GPU of its slot. So it cannot use memory of another one, and libraries that always take the
//! first GPU take the right one.

/// Variable that says which GPUs a process sees, in the words of CUDA.
const VISIBLE: &str = "CUDA_VISIBLE_DEVICES";

/// Start of the name of a GPU.
const CUDA: &str = "cuda:";

/// Returns the name under which a process finds the device of its slot: `cuda:0` for every GPU.
pub fn device_of_process(device: &str) -> String {
    if device.starts_with(CUDA) { format!("{CUDA}0") } else { device.to_owned() }
}

/// Returns the environment variable that shows a process the GPU of its slot alone. `visible` is the value that this
/// process has. Other devices need none.
pub(super) fn visible(device: &str, visible: Option<&str>) -> Option<(&'static str, String)> {
    let number = device.strip_prefix(CUDA)?;
    let index: usize = number.parse().ok()?;
    let known = visible.and_then(|visible| visible.split(',').nth(index)).map(str::trim);
    Some((VISIBLE, known.unwrap_or(number).to_owned()))
}

/// Returns this variable for the environment of this process.
pub(super) fn visible_here(device: &str) -> Option<(&'static str, String)> {
    visible(device, std::env::var(VISIBLE).ok().as_deref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_sees_the_gpu_of_its_slot_as_its_first_one() {
        let shown = |device, known| visible(device, known).map(|(_, value)| value);
        assert_eq!(shown("cuda:1", None), Some("1".to_owned()));
        assert_eq!(shown("cuda:1", Some("4, 6")), Some("6".to_owned()));
        assert_eq!(shown("cuda:0", Some("GPU-8f2a,GPU-77")), Some("GPU-8f2a".to_owned()));
        assert_eq!(shown("cpu", Some("4,6")), None);
        assert_eq!([device_of_process("cuda:3"), device_of_process("cpu")], ["cuda:0", "cpu"]);
    }
}
