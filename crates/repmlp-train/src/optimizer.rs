//! The optimiser and its state.

use candle_core::backprop::GradStore;
use candle_core::{Result, Var};
use repmlp::vars::Vars;
use repmlp_kernels::{AdamWStep, SgdStep, adamw_step, sgd_step};

use crate::config::OptimizerConfig;
use crate::decay::decay_of;

/// Position of a step in the training.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct StepPlace {
    /// Number of the step, from 1.
    pub(crate) number: u64,
    /// Share of the highest learning rate, from the schedule.
    pub(crate) learning_rate_share: f64,
}

/// A parameter with its optimiser state.
pub(crate) struct Moved<const STATE: usize> {
    name: String,
    parameter: Var,
    weight_decay: f64,
    state: [Var; STATE],
}

impl<const STATE: usize> Moved<STATE> {
    /// Returns all parameters, with a state of zeros.
    fn all(vars: &Vars, config: &OptimizerConfig) -> Result<Vec<Self>> {
        let at_rest = |(name, parameter): (String, Var)| {
            let zeros = parameter.zeros_like()?;
            let state: Vec<Var> = (0..STATE).map(|_| Var::from_tensor(&zeros)).collect::<Result<_>>()?;
            let weight_decay = decay_of(&name, config.weight_decay(), config.decay_of_parts());
            Ok(Self { name, parameter, weight_decay, state: state.try_into().expect("as many as there are places") })
        };
        vars.parameters().into_iter().map(at_rest).collect()
    }

    fn named<'a>(all: &'a [Self], names: [&'a str; STATE]) -> Vec<(String, &'a Var)> {
        let of =
            |moved: &'a Self| names.into_iter().zip(&moved.state).map(|(n, var)| (format!("{n}.{}", moved.name), var));
        all.iter().flat_map(of).collect()
    }
}

/// Updates the parameters of a network.
pub(crate) enum Optimizer {
    /// Settings of a step at the highest learning rate, and each parameter with its velocity. The weight decay is
    /// stored per parameter.
    Sgd(SgdStep, Vec<Moved<1>>),
    /// The same for `AdamW`. Each parameter has the running means of its gradient and of its squared gradient. The step
    /// number is set in each step.
    AdamW(AdamWStep, Vec<Moved<2>>),
}

impl Optimizer {
    /// Makes an optimiser for all parameters, with a state of zeros.
    pub(crate) fn new(config: &OptimizerConfig, vars: &Vars) -> Result<Self> {
        Ok(match *config {
            OptimizerConfig::Sgd { learning_rate, momentum, nesterov, weight_decay, .. } => {
                Self::Sgd(SgdStep { learning_rate, momentum, weight_decay, nesterov }, Moved::all(vars, config)?)
            }
            OptimizerConfig::AdamW { learning_rate, beta1, beta2, eps, weight_decay, .. } => {
                let step = AdamWStep { learning_rate, beta1, beta2, eps, weight_decay, step: 0 };
                Self::AdamW(step, Moved::all(vars, config)?)
            }
        })
    }

    /// Does one step with these gradients.
    pub(crate) fn step(&self, gradients: &GradStore, place: StepPlace) -> Result<()> {
        let rate = |top: f64| top * place.learning_rate_share;
        match self {
            Self::Sgd(step, all) => {
                let step = SgdStep { learning_rate: rate(step.learning_rate), ..*step };
                for Moved { parameter, weight_decay, state: [velocity], .. } in all {
                    if let Some(gradient) = gradients.get(parameter) {
                        let step = SgdStep { weight_decay: *weight_decay, ..step };
                        sgd_step(parameter, velocity, gradient, step)?;
                    }
                }
            }
            Self::AdamW(step, all) => {
                let number = u32::try_from(place.number).unwrap_or(u32::MAX);
                let step = AdamWStep { learning_rate: rate(step.learning_rate), step: number, ..*step };
                for Moved { parameter, weight_decay, state: [mean, square], .. } in all {
                    if let Some(gradient) = gradients.get(parameter) {
                        let step = AdamWStep { weight_decay: *weight_decay, ..step };
                        adamw_step(parameter, mean, square, gradient, step)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Returns its state by name, for checkpoints.
    pub(crate) fn state(&self) -> Vec<(String, &Var)> {
        match self {
            Self::Sgd(_, all) => Moved::named(all, ["velocity"]),
            Self::AdamW(_, all) => Moved::named(all, ["mean", "square"]),
        }
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device, Tensor};
    use repmlp::vars::Init;

    use super::*;

    #[test]
    fn a_named_part_shrinks_by_its_own_decay() -> Result<()> {
        // The gradient of the loss is zero, so only the decay changes a parameter: by rate * decay times its value.
        let kinds = [
            "kind = 'sgd'\nlearning_rate = 0.5\nmomentum = 0.0\nnesterov = false",
            "kind = 'adamw'\nlearning_rate = 0.5",
        ];
        for kind in kinds {
            let text =
                format!("{kind}\nweight_decay = 0.25\ndecay_of_parts = [{{ parts = ['head'], weight_decay = 0.5 }}]");
            let config: OptimizerConfig = toml::from_str(&text).unwrap();
            let vars = Vars::new(0, DType::F32, &Device::Cpu);
            let trunk = vars.root().enter("trunk").parameter("weight", 2, Init::Constant(8.0))?;
            let head = vars.root().enter("head").parameter("weight", 2, Init::Constant(8.0))?;
            let zero = Tensor::zeros(2, DType::F32, &Device::Cpu)?;
            let gradients = ((&trunk * &zero)? + (&head * &zero)?)?.sum_all()?.backward()?;
            let optimizer = Optimizer::new(&config, &vars)?;
            optimizer.step(&gradients, StepPlace { number: 1, learning_rate_share: 1.0 })?;
            assert_eq!([&trunk, &head].map(|t| t.to_vec1::<f32>().unwrap()), [[7.0, 7.0], [6.0, 6.0]], "{kind}");
        }
        Ok(())
    }
}
