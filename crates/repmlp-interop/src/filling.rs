//! The filling rule of the reference values. The values of a tensor are computed from its name. PyTorch and this crate
//! thus have the same weights without storing them.
//!
//! This module knows PyTorch's names, but not the networks that they belong to.

use candle_core::{Device, Result, Tensor};

/// Whether the rule fills a tensor of this name. Counters of batches are not filled.
pub fn is_filled(name: &str) -> bool {
    !name.ends_with("num_batches_tracked")
}

/// Returns the tensor of this name and shape as f32. The values are the same on every machine.
///
/// `weight_gain` is a factor on weights and position tables. It is 1 if a case does not set it.
///
/// # Errors
/// When candle fails.
pub fn fill(name: &str, dims: &[usize], weight_gain: f64) -> Result<Tensor> {
    let (low, high) = interval(name, dims, weight_gain);
    let start = fnv1a(name);
    let value = |i: u64| (low + (high - low) * uniform(start, i)) as f32;
    let values: Vec<f32> = (1..=dims.iter().product::<usize>() as u64).map(value).collect();
    Tensor::from_vec(values, dims, &Device::Cpu)
}

/// Returns the smallest and largest value of a tensor.
fn interval(name: &str, dims: &[usize], weight_gain: f64) -> (f64, f64) {
    let around_zero = |bound: f64| (-bound, bound);
    let is_batch = name.strip_prefix("batch").is_some_and(|t| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit()));
    if matches!(name, "input" | "cotangent") || is_batch {
        around_zero(1.0)
    } else if name.ends_with("running_mean") {
        around_zero(0.2)
    } else if name.ends_with("running_var") {
        (0.5, 1.5)
    } else if name.ends_with("bias") {
        around_zero(0.1)
    } else if dims.len() >= 2 {
        let fan_in: usize = dims[1..].iter().product();
        around_zero(weight_gain * (3.0 / fan_in as f64).sqrt())
    } else if name.ends_with("weight") {
        (0.5, 1.5)
    } else {
        around_zero(0.1)
    }
}

/// The hash function FNV-1a with 64 bits.
fn fnv1a(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Returns the `i`-th number after `start`, uniform in [0, 1) with 24 bits. It is the output function of `SplitMix64`,
/// applied to its counter.
fn uniform(start: u64, i: u64) -> f64 {
    let mut z = start.wrapping_add(i.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^= z >> 31;
    (z >> 40) as f64 / (1u64 << 24) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first_bits(name: &str, dims: &[usize], weight_gain: f64) -> Vec<u32> {
        let values: Vec<f32> = fill(name, dims, weight_gain).unwrap().flatten_all().unwrap().to_vec1().unwrap();
        values.iter().take(2).map(|value| value.to_bits()).collect()
    }

    /// The expected bits were computed with an implementation of the rule in Python.
    #[test]
    fn every_case_of_the_rule_gives_the_bits_that_python_computes() {
        assert_eq!(first_bits("input", &[1, 3, 1, 1], 1.0), [0xbf4d_eac2, 0x3e9c_045c]);
        assert_eq!(first_bits("batch11", &[2], 1.0), [0x3f41_2da8, 0xbeab_8080]);
        assert_eq!(first_bits("bn1.running_mean", &[2], 1.0), [0x3dc0_0fb6, 0x3d24_da86]);
        assert_eq!(first_bits("bn1.running_var", &[2], 1.0), [0x3f92_3722, 0x3fa4_b456]);
        assert_eq!(first_bits("fc.bias", &[2], 1.0), [0xbb92_76e6, 0xbb7c_8d66]);
        assert_eq!(first_bits("bn1.weight", &[2], 1.0), [0x3f5c_3654, 0x3fa9_863c]);
        assert_eq!(first_bits("fc.weight", &[3, 4], 1.0), [0xbcd9_dc41, 0x3f25_10f4]);
        assert_eq!(first_bits("fc.weight", &[3, 4, 1, 1], 1.4), [0xbd18_8094, 0x3f67_17bc]);
        assert_eq!(first_bits("pos_embed.height_rel", &[3, 4], 1.0), [0x3e90_7f8b, 0x3e6b_bf8d]);
        assert_eq!(first_bits("pos_embed.height_rel", &[3], 1.0), [0x3d05_7b53, 0x3cd9_c660]);
    }

    #[test]
    fn the_gain_applies_to_weights_only() {
        for (name, dims) in
            [("a.bias", vec![2]), ("a.running_var", vec![2]), ("a.weight", vec![2]), ("input", vec![2, 2])]
        {
            assert_eq!(first_bits(name, &dims, 1.0), first_bits(name, &dims, 1.4), "{name}");
        }
    }

    #[test]
    fn counters_of_batches_are_skipped() {
        assert!(!is_filled("bn1.num_batches_tracked") && is_filled("bn1.running_var"));
    }
}
