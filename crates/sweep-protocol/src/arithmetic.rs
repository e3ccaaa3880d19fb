//! What the last digits of a run's numbers depend on, apart from its configuration and its trainer.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How a run's numbers are computed. Equal runs with equal arithmetic give the same bits, with any number of threads.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Arithmetic {
    /// Kind of device: `cpu`, `cuda`.
    pub device: String,
    /// Instruction set of the kernels: `plain`, `avx2`, `avx512`; `-` if the device offers no choice.
    pub kernels: String,
    /// Versions of the libraries that compute: `candle-0.11.1+kernels-1`.
    pub libraries: String,
}

impl fmt::Display for Arithmetic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.device, self.kernels, self.libraries)
    }
}

/// Error for a text that is not an arithmetic.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an arithmetic: expected three words such as `cpu avx2 candle-0.11.1+kernels-1`")]
pub struct ArithmeticError(String);

impl FromStr for Arithmetic {
    type Err = ArithmeticError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let words: Vec<&str> = text.split(' ').collect();
        let [device, kernels, libraries] = words.as_slice() else { return Err(ArithmeticError(text.to_owned())) };
        if words.contains(&"") {
            return Err(ArithmeticError(text.to_owned()));
        }
        let [device, kernels, libraries] = [device, kernels, libraries].map(|word| (*word).to_owned());
        Ok(Self { device, kernels, libraries })
    }
}

impl TryFrom<String> for Arithmetic {
    type Error = ArithmeticError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Arithmetic> for String {
    fn from(arithmetic: Arithmetic) -> Self {
        arithmetic.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_back_from_its_text() {
        let text = "cpu avx512 candle-0.11.1+kernels-1";
        assert_eq!(text.parse::<Arithmetic>().unwrap().to_string(), text);
        for other in ["", "cpu", "cpu avx2", "cpu  x", "cpu avx2 a b"] {
            assert_eq!(other.parse::<Arithmetic>(), Err(ArithmeticError(other.to_owned())));
        }
    }
}
