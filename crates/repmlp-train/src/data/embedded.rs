//! The data set inside the program: 5,000 training and 1,000 test images of Fashion-MNIST (MIT licence,
//! data/fashion-mnist-5k).

use std::path::Path;

use crate::data::content::Content;
use crate::data::pool::RawSet;
use crate::data::{DataError, idx};

macro_rules! carried {
    ($file:literal) => {
        Content::of_bytes(
            Path::new(concat!("(carried) ", $file)),
            include_bytes!(concat!("../../data/fashion-mnist-5k/", $file)),
        )
    };
}

pub(crate) fn read() -> Result<RawSet, DataError> {
    let train = idx::pool(carried!("train-images-idx3-ubyte.gz")?, carried!("train-labels-idx1-ubyte.gz")?, 10)?;
    let test = idx::pool(carried!("test-images-idx3-ubyte.gz")?, carried!("test-labels-idx1-ubyte.gz")?, 10)?;
    Ok(RawSet::decoded(train, None, test))
}
