//! The variables of a network: named, ordered, drawn from seeded streams.
//!
//! Knows names and roles; which layer a variable belongs to is the layer's business.

use std::cell::RefCell;
use std::collections::BTreeMap;

use candle_core::{DType, Device, Result, Shape, Tensor, Var, bail};

use crate::layers::BatchNormSettings;
use crate::stream::{stream, uniform};

/// How a parameter starts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// Every element the same.
    Constant(f64),
    /// Uniform in ±1/√`fan_in`: PyTorch's default for convolutions and FC layers, weights and biases.
    FanIn(usize),
    /// Uniform in ±√3·`deviation`.
    Deviation(f64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// Moved by the optimiser.
    Parameter,
    /// Moved by forward passes in training: running statistics of batch norm.
    Statistic,
}

/// Where initial values come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Start {
    /// Streams of this seed.
    Seed(u64),
    /// Nowhere: all are 0.
    Zero,
}

/// All variables of one network.
pub struct Vars {
    start: Start,
    dtype: DType,
    device: Device,
    batch_norm: BatchNormSettings,
    entries: RefCell<BTreeMap<String, (Role, Var)>>,
}

impl Vars {
    /// No variables yet; initial values will be drawn from streams of `seed`.
    pub fn new(seed: u64, dtype: DType, device: &Device) -> Self {
        Self::starting(Start::Seed(seed), dtype, device)
    }

    /// No variables yet, and those to come are all 0: for those who ask for names and shapes alone.
    pub fn blank() -> Self {
        Self::starting(Start::Zero, DType::F32, &Device::Cpu)
    }

    fn starting(start: Start, dtype: DType, device: &Device) -> Self {
        Self {
            start,
            dtype,
            device: device.clone(),
            batch_norm: BatchNormSettings::default(),
            entries: RefCell::default(),
        }
    }

    /// The same with other settings for the batch norms that will be built.
    #[must_use]
    pub fn with_batch_norm(self, batch_norm: BatchNormSettings) -> Self {
        Self { batch_norm, ..self }
    }

    /// The top of the name space.
    pub fn root(&self) -> Scope<'_> {
        Scope { vars: self, prefix: String::new() }
    }

    /// The device that the variables live on.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The number type of the variables.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// What the optimiser moves, in the order of names.
    pub fn parameters(&self) -> Vec<(String, Var)> {
        self.with_role(|role| role == Role::Parameter)
    }

    /// Parameters and running statistics, in the order of names.
    pub fn all(&self) -> Vec<(String, Var)> {
        self.with_role(|_| true)
    }

    fn with_role(&self, wanted: impl Fn(Role) -> bool) -> Vec<(String, Var)> {
        let entries = self.entries.borrow();
        entries
            .iter()
            .filter(|(_, (role, _))| wanted(*role))
            .map(|(name, (_, var))| (name.clone(), var.clone()))
            .collect()
    }

    /// Overwrites every variable with the tensor of its name (same number of elements; the number type is converted).
    ///
    /// # Errors
    /// When a name is missing or a tensor has another size.
    pub fn load(&self, tensors: &BTreeMap<String, Tensor>) -> Result<()> {
        for (name, var) in self.all() {
            let Some(tensor) = tensors.get(&name) else { bail!("no value for `{name}`") };
            if tensor.elem_count() != var.elem_count() {
                bail!("`{name}` has shape {:?}, not {:?}", tensor.dims(), var.dims());
            }
            var.set(&tensor.reshape(var.shape())?.to_device(&self.device)?.to_dtype(self.dtype)?)?;
        }
        Ok(())
    }

    fn add(&self, name: &str, role: Role, values: Vec<f32>, shape: &Shape) -> Result<Var> {
        let tensor = Tensor::from_vec(values, shape, &self.device)?.to_dtype(self.dtype)?;
        let var = Var::from_tensor(&tensor)?;
        if self.entries.borrow_mut().insert(name.to_owned(), (role, var.clone())).is_some() {
            bail!("two variables are called `{name}`");
        }
        Ok(var)
    }
}

/// A place in the name space of a network's variables: names are joined with dots.
#[derive(Clone)]
pub struct Scope<'a> {
    vars: &'a Vars,
    prefix: String,
}

impl Scope<'_> {
    /// The place `name` below this one.
    #[must_use]
    pub fn enter(&self, name: &str) -> Self {
        Self { vars: self.vars, prefix: self.join(name) }
    }

    fn join(&self, name: &str) -> String {
        joined(&self.prefix, name)
    }

    /// Its dotted name; empty at the top.
    pub fn name(&self) -> &str {
        &self.prefix
    }

    /// Settings of the batch norms of this network.
    pub fn batch_norm(&self) -> BatchNormSettings {
        self.vars.batch_norm
    }

    /// A new parameter: the returned tensor is tracked, so its gradient can be asked for.
    ///
    /// # Errors
    /// When the name is taken.
    pub fn parameter(&self, name: &str, shape: impl Into<Shape>, init: Init) -> Result<Tensor> {
        let (name, shape) = (self.join(name), shape.into());
        let bound = match init {
            Init::Constant(_) => 0.0,
            Init::FanIn(fan_in) => 1.0 / (fan_in as f64).sqrt(),
            Init::Deviation(deviation) => 3f64.sqrt() * deviation,
        };
        let values = match (init, self.vars.start) {
            (_, Start::Zero) => vec![0.0; shape.elem_count()],
            (Init::Constant(value), _) => vec![value as f32; shape.elem_count()],
            (_, Start::Seed(seed)) => {
                let mut rng = stream(seed, &format!("init {name}"), &[]);
                (0..shape.elem_count()).map(|_| bound as f32 * (2.0 * uniform(&mut rng) - 1.0)).collect()
            }
        };
        Ok(self.vars.add(&name, Role::Parameter, values, &shape)?.as_tensor().clone())
    }

    /// A new running statistic.
    ///
    /// # Errors
    /// When the name is taken.
    pub fn statistic(&self, name: &str, shape: impl Into<Shape>, value: f64) -> Result<Var> {
        let shape = shape.into();
        self.vars.add(&self.join(name), Role::Statistic, vec![value as f32; shape.elem_count()], &shape)
    }
}

/// `a.b`; either may be empty and then leaves no dot.
pub(crate) fn joined(prefix: &str, name: &str) -> String {
    match (prefix, name) {
        ("", name) => name.to_owned(),
        (prefix, "") => prefix.to_owned(),
        (prefix, name) => format!("{prefix}.{name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_starts_the_same_whatever_stands_beside_it() -> Result<()> {
        let first = |others: &[&str]| -> Result<Vec<f32>> {
            let vars = Vars::new(3, DType::F32, &Device::Cpu);
            for other in others {
                vars.root().parameter(other, 5, Init::FanIn(5))?;
            }
            vars.root().enter("block").parameter("weight", (2, 3), Init::FanIn(3))?.flatten_all()?.to_vec1()
        };
        assert_eq!(first(&[])?, first(&["a", "z"])?);
        assert!(first(&[])?.iter().all(|v| v.abs() <= 1.0 / 3f32.sqrt()));
        Ok(())
    }

    #[test]
    fn names_are_unique_and_loading_wants_all_of_them() -> Result<()> {
        let vars = Vars::new(0, DType::F32, &Device::Cpu);
        vars.root().parameter("a", 2, Init::Constant(1.0))?;
        assert!(vars.root().parameter("a", 2, Init::Constant(1.0)).is_err());
        assert!(vars.load(&BTreeMap::new()).unwrap_err().to_string().contains("`a`"));
        let three = BTreeMap::from([("a".to_owned(), Tensor::zeros(3, DType::F32, &Device::Cpu)?)]);
        assert!(vars.load(&three).is_err());
        Ok(())
    }
}
