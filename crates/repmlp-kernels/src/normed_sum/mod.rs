//! The sum of branches that read the same tensor. Each branch is a convolution or an FC layer, followed by batch norm.
//! This is the training form of FC3 and the Local Perceptron; with one branch, it is a convolution with its batch norm.
//!
//! As one operation, the graph keeps the output of each linear map and the sum, but no partial sums. In the backward
//! pass, the branches share one gradient, and each adds to the gradient of x in place. The output of each map is
//! overwritten by its gradient and then freed.

mod composite;
mod operation;
mod passes;
#[cfg(test)]
mod tests;

pub use operation::{LinearMap, NormedBranch, normed_sum_with_epilogue};
