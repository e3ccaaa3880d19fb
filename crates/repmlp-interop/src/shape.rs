//! Comparison of shapes. Official code has FC layers as 1×1 convolutions, so trailing dimensions of 1 do not matter.

/// Whether two shapes are equal, apart from trailing dimensions of 1.
pub(crate) fn same_but_for_ones(a: &[usize], b: &[usize]) -> bool {
    bare(a) == bare(b)
}

fn bare(dims: &[usize]) -> &[usize] {
    let ones = dims.iter().rev().take_while(|size| **size == 1).count();
    &dims[..dims.len() - ones]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_trailing_ones_are_ignored() {
        assert!(same_but_for_ones(&[8, 4], &[8, 4, 1, 1]) && same_but_for_ones(&[1], &[]));
        assert!(!same_but_for_ones(&[8, 4], &[1, 8, 4]) && !same_but_for_ones(&[8, 4], &[4, 8]));
    }
}
