//! The sum of branches that read one tensor, each a convolution or an FC layer with batch norm behind it: the training form of
//! FC3 and the Local Perceptron, and with one branch that of any convolution with its norm.
//!
//! As one operation, the graph keeps what each linear map gave and the sum, and no partial sums; backward, the branches share one
//! gradient, each adds to that of x in place, and what the maps gave becomes their gradient where it lies and is let go.

mod operation;
mod passes;
#[cfg(test)]
mod tests;

pub use operation::{LinearMap, NormedBranch, normed_sum_with_epilogue};
