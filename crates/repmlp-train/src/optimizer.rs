//! The optimiser and its state.

use std::collections::BTreeMap;

use candle_core::backprop::GradStore;
use candle_core::{Result, Tensor, Var};
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

/// Parameters that are moved together, with their optimiser state. On a CPU each is alone. On a GPU, all with the same
/// weight decay are one vector: an update of each would be thousands of small operations a step.
pub(crate) struct Moved<const STATE: usize> {
    /// Names and variables of the network.
    parts: Vec<(String, Var)>,
    /// The variable itself, or a copy of all parts one after the other.
    parameter: Var,
    weight_decay: f64,
    state: [Var; STATE],
}

impl<const STATE: usize> Moved<STATE> {
    /// Returns all parameters, with a state of zeros.
    fn all(vars: &Vars, config: &OptimizerConfig, moves: Moves) -> Result<Vec<Self>> {
        let is_joined = moves == Moves::Together;
        let mut groups: Vec<(f64, Vec<(String, Var)>)> = Vec::new();
        for (name, parameter) in vars.parameters() {
            let decay = decay_of(&name, config.weight_decay(), config.decay_of_parts());
            let same = groups.iter_mut().find(|(other, _)| is_joined && other.to_bits() == decay.to_bits());
            match same {
                Some((_, parts)) => parts.push((name, parameter)),
                None => groups.push((decay, vec![(name, parameter)])),
            }
        }
        groups.into_iter().map(|(decay, parts)| Self::new(parts, decay)).collect()
    }

    fn new(parts: Vec<(String, Var)>, weight_decay: f64) -> Result<Self> {
        let parameter = match &parts[..] {
            [(_, alone)] => alone.clone(),
            _ => Var::from_tensor(&joined(parts.iter().map(|(_, part)| part.as_tensor()))?)?,
        };
        let zeros = parameter.zeros_like()?;
        let state: Vec<Var> = (0..STATE).map(|_| Var::from_tensor(&zeros)).collect::<Result<_>>()?;
        let state = state.try_into().expect("as many as there are places");
        Ok(Self { parts, parameter, weight_decay, state })
    }

    /// Moves the parameters. `update` gets the gradient of all parts.
    fn step(&self, gradients: &GradStore, update: impl FnOnce(&Self, &Tensor) -> Result<()>) -> Result<()> {
        if let [(_, alone)] = &self.parts[..] {
            return gradients.get(alone).map_or(Ok(()), |gradient| update(self, gradient));
        }
        let zeros = |part: &Var| part.as_tensor().zeros_like();
        let of_part = |(_, part): &(String, Var)| gradients.get(part).cloned().map_or_else(|| zeros(part), Ok);
        let gradient = joined(self.parts.iter().map(of_part).collect::<Result<Vec<_>>>()?.iter())?;
        let still = self.still(gradients)?;
        update(self, &gradient)?;
        for (first, before) in still {
            for (var, numbers) in self.state.iter().chain([&self.parameter]).zip(before) {
                var.slice_set(&numbers, 0, first)?;
            }
        }
        self.each_part(self.parameter.as_tensor(), |(_, part), moved| part.set(&moved))
    }

    /// Returns, for each part without a gradient, where it begins, and copies of its state and value. Such a part does
    /// not move, as if it were alone.
    fn still(&self, gradients: &GradStore) -> Result<Vec<(usize, Vec<Tensor>)>> {
        let mut still = Vec::new();
        let mut first = 0;
        for (_, part) in &self.parts {
            let count = part.elem_count();
            if gradients.get(part).is_none() {
                let all = self.state.iter().chain([&self.parameter]);
                let copies = all.map(|var| var.as_detached_tensor().narrow(0, first, count)?.copy());
                still.push((first, copies.collect::<Result<_>>()?));
            }
            first += count;
        }
        Ok(still)
    }

    /// Calls `f` with each part and its share of a joined tensor, in the shape of the part.
    fn each_part(&self, all: &Tensor, mut f: impl FnMut(&(String, Var), Tensor) -> Result<()>) -> Result<()> {
        let all = all.detach().flatten_all()?;
        let mut first = 0;
        for part in &self.parts {
            let count = part.1.elem_count();
            f(part, all.narrow(0, first, count)?.reshape(part.1.shape())?)?;
            first += count;
        }
        Ok(())
    }

    /// Returns the state of each parameter by name. `names` are the names of its kinds.
    fn named(all: &[Self], names: [&str; STATE]) -> Result<Vec<(String, Tensor)>> {
        let mut named = Vec::new();
        for moved in all {
            for (kind, state) in names.iter().zip(&moved.state) {
                moved.each_part(state.as_tensor(), |(name, _), state| {
                    named.push((format!("{kind}.{name}"), state));
                    Ok(())
                })?;
            }
        }
        Ok(named)
    }

    /// Takes over the values of the parameters, and their state from `tensors`.
    fn load(
        all: &[Self],
        names: [&str; STATE],
        tensors: &BTreeMap<String, Tensor>,
    ) -> std::result::Result<(), LoadError> {
        for moved in all {
            for (kind, state) in names.iter().zip(&moved.state) {
                let of_part = |(name, part): &(String, Var)| {
                    let name = format!("{kind}.{name}");
                    let Some(tensor) = tensors.get(&name) else { return Err(LoadError::Missing(name)) };
                    if tensor.shape() != part.shape() {
                        return Err(LoadError::Shape(name));
                    }
                    Ok(tensor.to_device(part.device())?)
                };
                let parts = moved.parts.iter().map(of_part).collect::<std::result::Result<Vec<_>, LoadError>>()?;
                state.set(&joined(parts.iter())?.reshape(state.shape())?)?;
            }
            if moved.parts.len() > 1 {
                moved.parameter.set(&joined(moved.parts.iter().map(|(_, part)| part.as_tensor()))?)?;
            }
        }
        Ok(())
    }
}

/// Returns all numbers of the tensors, one tensor after the other.
fn joined<'a>(tensors: impl Iterator<Item = &'a Tensor>) -> Result<Tensor> {
    Tensor::cat(&tensors.map(|tensor| tensor.detach().flatten_all()).collect::<Result<Vec<_>>>()?, 0)
}

/// The state of a checkpoint cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    /// The state of a parameter is missing.
    #[error("it lacks `{0}`")]
    Missing(String),
    /// The state of a parameter has another shape than the parameter.
    #[error("its `{0}` does not fit")]
    Shape(String),
    /// Candle failed.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}

/// Whether parameters are moved one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moves {
    Alone,
    /// All with the same weight decay at once.
    Together,
}

/// Names of the state of each kind of optimiser in checkpoints.
const SGD_STATE: [&str; 1] = ["velocity"];
const ADAMW_STATE: [&str; 2] = ["mean", "square"];

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
        Self::of(config, vars, if vars.device().is_cpu() { Moves::Alone } else { Moves::Together })
    }

    fn of(config: &OptimizerConfig, vars: &Vars, moves: Moves) -> Result<Self> {
        Ok(match *config {
            OptimizerConfig::Sgd { learning_rate, momentum, nesterov, weight_decay, .. } => {
                Self::Sgd(SgdStep { learning_rate, momentum, weight_decay, nesterov }, Moved::all(vars, config, moves)?)
            }
            OptimizerConfig::AdamW { learning_rate, beta1, beta2, eps, weight_decay, .. } => {
                let step = AdamWStep { learning_rate, beta1, beta2, eps, weight_decay, step: 0 };
                Self::AdamW(step, Moved::all(vars, config, moves)?)
            }
        })
    }

    /// Does one step with these gradients.
    pub(crate) fn step(&self, gradients: &GradStore, place: StepPlace) -> Result<()> {
        let rate = |top: f64| top * place.learning_rate_share;
        match self {
            Self::Sgd(step, all) => {
                let step = SgdStep { learning_rate: rate(step.learning_rate), ..*step };
                for moved in all {
                    moved.step(gradients, |Moved { parameter, weight_decay, state: [velocity], .. }, gradient| {
                        sgd_step(parameter, velocity, gradient, SgdStep { weight_decay: *weight_decay, ..step })
                    })?;
                }
            }
            Self::AdamW(step, all) => {
                let number = u32::try_from(place.number).unwrap_or(u32::MAX);
                let step = AdamWStep { learning_rate: rate(step.learning_rate), step: number, ..*step };
                for moved in all {
                    moved.step(
                        gradients,
                        |Moved { parameter, weight_decay, state: [mean, square], .. }, gradient| {
                            let step = AdamWStep { weight_decay: *weight_decay, ..step };
                            adamw_step(parameter, mean, square, gradient, step)
                        },
                    )?;
                }
            }
        }
        Ok(())
    }

    /// Returns its state by name, for checkpoints.
    pub(crate) fn state(&self) -> Result<Vec<(String, Tensor)>> {
        match self {
            Self::Sgd(_, all) => Moved::named(all, SGD_STATE),
            Self::AdamW(_, all) => Moved::named(all, ADAMW_STATE),
        }
    }

    /// Continues from the state of a checkpoint. The parameters have their values already.
    pub(crate) fn load(&self, tensors: &BTreeMap<String, Tensor>) -> std::result::Result<(), LoadError> {
        match self {
            Self::Sgd(_, all) => Moved::load(all, SGD_STATE, tensors),
            Self::AdamW(_, all) => Moved::load(all, ADAMW_STATE, tensors),
        }
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};
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

    #[test]
    fn parameters_moved_together_move_as_alone() -> Result<()> {
        let kinds = [
            "kind = 'sgd'\nlearning_rate = 0.5\nmomentum = 0.9\nnesterov = true",
            "kind = 'adamw'\nlearning_rate = 0.5",
        ];
        for kind in kinds {
            let text =
                format!("{kind}\nweight_decay = 0.25\ndecay_of_parts = [{{ parts = ['head'], weight_decay = 0.5 }}]");
            let config: OptimizerConfig = toml::from_str(&text).unwrap();
            let begin = |moves| {
                let vars = Vars::new(0, DType::F32, &Device::Cpu);
                let trunk = vars.root().enter("trunk");
                trunk.parameter("weight", (2, 3), Init::FanIn(2))?;
                trunk.parameter("bias", 3, Init::FanIn(2))?;
                vars.root().enter("head").parameter("weight", 4, Init::FanIn(2))?;
                vars.root().enter("unused").parameter("weight", 5, Init::FanIn(2))?;
                Result::Ok((Optimizer::of(&config, &vars, moves)?, vars))
            };
            let step = |(optimizer, vars): &(Optimizer, Vars), number| {
                let used = vars.parameters().into_iter().filter(|(name, _)| !name.starts_with("unused"));
                let squares = used.map(|(_, var)| var.as_tensor().sqr()?.sum_all());
                let loss = Tensor::stack(&squares.collect::<Result<Vec<_>>>()?, 0)?.sum_all()?;
                optimizer.step(&loss.backward()?, StepPlace { number, learning_rate_share: 1.0 })
            };
            let (alone, together) = (begin(Moves::Alone)?, begin(Moves::Together)?);
            // A third one takes over after two steps, as after an interruption.
            let resumed = begin(Moves::Together)?;
            for number in 1..=4 {
                step(&alone, number)?;
                step(&together, number)?;
                if number == 2 {
                    resumed.1.load(&together.1.all().into_iter().map(|(n, v)| (n, v.as_tensor().clone())).collect())?;
                    resumed.0.load(&together.0.state()?.into_iter().collect()).unwrap();
                }
                if number > 2 {
                    step(&resumed, number)?;
                }
            }
            let values = |(optimizer, vars): &(Optimizer, Vars)| {
                let parameters = vars.parameters().into_iter().map(|(name, var)| (name, var.as_tensor().clone()));
                let mut all: Vec<(String, Tensor)> = parameters.chain(optimizer.state()?).collect();
                all.sort_by(|a, b| a.0.cmp(&b.0));
                let of = |(name, tensor): (String, Tensor)| Ok((name, tensor.flatten_all()?.to_vec1::<f32>()?));
                all.into_iter().map(of).collect::<Result<Vec<_>>>()
            };
            assert_eq!(values(&resumed)?, values(&together)?, "{kind}");
            assert_eq!(values(&together)?, values(&alone)?, "{kind}");
        }
        Ok(())
    }
}
