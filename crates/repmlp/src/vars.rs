//! The variables of a network. They have names, are kept in the order of their names, and start from seeded streams.
//!
//! This module knows names and roles of variables, but not the layers that own them.

use std::cell::RefCell;
use std::collections::BTreeMap;

use candle_core::{DType, Device, Result, Shape, Tensor, Var, bail};

use crate::layers::BatchNormSettings;
use crate::stream::{stream, uniform};

/// Initial values of a parameter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// All elements have this value.
    Constant(f64),
    /// Uniform in ±1/√`fan_in`. This is PyTorch's default for weights and biases of convolutions and FC layers.
    FanIn(usize),
    /// Uniform in ±√3·`deviation`, so `deviation` is the standard deviation.
    Deviation(f64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// Updated by the optimiser.
    Parameter,
    /// Running statistics of batch norm. Updated by forward passes in training.
    Statistic,
}

/// Source of initial values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Start {
    /// Random streams with this seed.
    Seed(u64),
    /// All values are 0.
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
    /// Creates an empty set of variables. Initial values will come from streams of `seed`.
    pub fn new(seed: u64, dtype: DType, device: &Device) -> Self {
        Self::starting(Start::Seed(seed), dtype, device)
    }

    /// Creates an empty set of variables whose initial values will all be 0. Use it if only names and shapes matter.
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

    /// Sets the settings of all batch norms that will be built.
    #[must_use]
    pub fn with_batch_norm(self, batch_norm: BatchNormSettings) -> Self {
        Self { batch_norm, ..self }
    }

    /// Returns the root of the name space.
    pub fn root(&self) -> Scope<'_> {
        Scope { vars: self, prefix: String::new() }
    }

    /// Device of the variables.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Number type of the variables.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Returns the parameters, which the optimiser updates, in the order of their names.
    pub fn parameters(&self) -> Vec<(String, Var)> {
        self.with_role(|role| role == Role::Parameter)
    }

    /// Returns parameters and running statistics in the order of their names.
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

    /// Overwrites every variable with the tensor of the same name. The numbers of elements must match; the shape, the
    /// number type and the device are adapted.
    ///
    /// # Errors
    /// When a name is missing or a tensor has a different number of elements.
    pub fn load(&self, tensors: &BTreeMap<String, Tensor>) -> Result<()> {
        for (name, var) in self.all() {
            let Some(tensor) = tensors.get(&name) else { bail!("no tensor for the variable `{name}`") };
            if tensor.elem_count() != var.elem_count() {
                bail!("the tensor `{name}` has shape {:?}; expected {:?}", tensor.dims(), var.dims());
            }
            var.set(&tensor.reshape(var.shape())?.to_device(&self.device)?.to_dtype(self.dtype)?)?;
        }
        Ok(())
    }

    fn add(&self, name: &str, role: Role, values: Vec<f32>, shape: &Shape) -> Result<Var> {
        let tensor = Tensor::from_vec(values, shape, &self.device)?.to_dtype(self.dtype)?;
        let var = Var::from_tensor(&tensor)?;
        if self.entries.borrow_mut().insert(name.to_owned(), (role, var.clone())).is_some() {
            bail!("two variables have the name `{name}`");
        }
        Ok(var)
    }
}

/// A prefix in the name space of a network's variables. Names are joined with dots.
#[derive(Clone)]
pub struct Scope<'a> {
    vars: &'a Vars,
    prefix: String,
}

impl Scope<'_> {
    /// Returns the scope `name` inside this one.
    #[must_use]
    pub fn enter(&self, name: &str) -> Self {
        Self { vars: self.vars, prefix: self.join(name) }
    }

    fn join(&self, name: &str) -> String {
        joined(&self.prefix, name)
    }

    /// Dotted name of this scope; empty at the root.
    pub fn name(&self) -> &str {
        &self.prefix
    }

    /// Settings of this network's batch norms.
    pub fn batch_norm(&self) -> BatchNormSettings {
        self.vars.batch_norm
    }

    /// Adds a parameter and returns its tensor. The tensor is tracked, so gradients are computed for it.
    ///
    /// # Errors
    /// When the name is already used.
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

    /// Adds a running statistic with all elements equal to `value`.
    ///
    /// # Errors
    /// When the name is already used.
    pub fn statistic(&self, name: &str, shape: impl Into<Shape>, value: f64) -> Result<Var> {
        let shape = shape.into();
        self.vars.add(&self.join(name), Role::Statistic, vec![value as f32; shape.elem_count()], &shape)
    }
}

/// Joins two names with a dot. If one of them is empty, there is no dot.
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
    fn initial_values_do_not_depend_on_other_variables() -> Result<()> {
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
    fn names_are_unique_and_loading_needs_all_of_them() -> Result<()> {
        let vars = Vars::new(0, DType::F32, &Device::Cpu);
        vars.root().parameter("a", 2, Init::Constant(1.0))?;
        assert!(vars.root().parameter("a", 2, Init::Constant(1.0)).is_err());
        assert!(vars.load(&BTreeMap::new()).unwrap_err().to_string().contains("`a`"));
        let three = BTreeMap::from([("a".to_owned(), Tensor::zeros(3, DType::F32, &Device::Cpu)?)]);
        assert!(vars.load(&three).is_err());
        Ok(())
    }
}
