//! Recognition of people: embeddings trained with AM-Softmax (Wang et al. 2018; paper section 4.3).

use candle_core::{Result, Tensor};
use repmlp::vars::{Init, Scope};
use repmlp_kernels::{cross_entropy, grouped_fc};

use crate::loss::correct;
use crate::objective::Judgement;

/// The last layer in training: one direction for each person.
pub(crate) struct AmSoftmax {
    /// Directions (classes, E).
    weight: Tensor,
    scale: f64,
    margin: f64,
}

/// Avoids a division by zero for a zero vector.
const TINY: f64 = 1e-12;

impl AmSoftmax {
    pub(super) fn new(
        (scale, margin): (f64, f64),
        (classes, numbers): (usize, usize),
        scope: &Scope<'_>,
    ) -> Result<Self> {
        Ok(Self { weight: scope.parameter("weight", (classes, numbers), Init::FanIn(numbers))?, scale, margin })
    }

    /// Returns loss and hits of embeddings (N, E): cross-entropy of s·(cos θ − m), where m is subtracted only for the
    /// correct person.
    pub(super) fn judge(&self, embeddings: &Tensor, labels: &Tensor) -> Result<Judgement> {
        let columns = unit_length(embeddings)?.t()?.contiguous()?;
        let cosines = grouped_fc(&columns, &unit_length(&self.weight)?, 1)?.t()?.contiguous()?;
        let (images, classes) = cosines.dims2()?;
        let people = Tensor::arange(0u32, classes as u32, labels.device())?.unsqueeze(0)?;
        let own = labels.unsqueeze(1)?.broadcast_eq(&people)?.to_dtype(cosines.dtype())?;
        debug_assert_eq!(own.dims(), [images, classes]);
        let logits = ((&cosines - (own * self.margin)?)? * self.scale)?;
        Ok(Judgement { loss: cross_entropy(&logits, labels, 0.0)?, hits: correct(&cosines.detach(), labels)? })
    }
}

/// Scales rows to length one.
pub(super) fn unit_length(rows: &Tensor) -> Result<Tensor> {
    rows.broadcast_div(&(rows.sqr()?.sum_keepdim(1)? + TINY)?.sqrt()?)
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};
    use repmlp::vars::Vars;

    use super::*;

    #[test]
    fn the_margin_reduces_the_cosine_of_the_correct_person() -> Result<()> {
        let vars = Vars::new(0, DType::F64, &Device::Cpu);
        let head = AmSoftmax::new((30.0, 0.35), (2, 2), &vars.root())?;
        vars.all()[0].1.set(&Tensor::new(&[[2f64, 0.0], [0.0, 5.0]], &Device::Cpu)?)?;
        let embeddings = Tensor::new(&[[3f64, 4.0]], &Device::Cpu)?;
        let judged = head.judge(&embeddings, &Tensor::new(&[0u32], &Device::Cpu)?)?;
        // cos = 0.6 and 0.8, so the logits are 30·(0.6 − 0.35) = 7.5 and 24. Loss = ln(1 + e^16.5).
        let expected = (1.0 + 16.5f64.exp()).ln();
        assert!((judged.loss.to_scalar::<f64>()? - expected).abs() < 1e-9);
        assert!(judged.hits.to_scalar::<f32>()?.abs() < 1e-6);
        Ok(())
    }
}
