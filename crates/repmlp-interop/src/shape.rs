//! Shapes that differ only in how they are written: official code has FC layers as 1×1 convolutions.

/// Whether two shapes are equal when trailing ones are left out.
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
    fn only_trailing_ones_are_left_out() {
        assert!(same_but_for_ones(&[8, 4], &[8, 4, 1, 1]) && same_but_for_ones(&[1], &[]));
        assert!(!same_but_for_ones(&[8, 4], &[1, 8, 4]) && !same_but_for_ones(&[8, 4], &[4, 8]));
    }
}
