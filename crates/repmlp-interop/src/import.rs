//! Fits the tensors of a file to a network of ours: whose names they have, which form they are, and what does not fit.
//!
//! Nothing is guessed: a tensor goes where its name says, if its shape is right there.

use std::collections::BTreeMap;
use std::fmt;

use candle_core::{DType, Device, Tensor};
use repmlp::models::{Model, ModelConfig, Task};
use repmlp::vars::Vars;

use crate::error::InteropError;
use crate::filling::is_filled;
use crate::names::Naming;
use crate::shape::same_but_for_ones;

/// The form that a file holds a network in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoredForm {
    /// With convolution branches and batch norm.
    Training,
    /// Merged.
    Deployed,
}

impl fmt::Display for StoredForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Training => "training",
            Self::Deployed => "deployed",
        })
    }
}

/// The tensors of a file, as far as they fit a network.
#[derive(Clone, Debug)]
pub struct Import {
    /// Whose names the file has.
    pub naming: Naming,
    /// The form that the file holds.
    pub form: StoredForm,
    /// Values that fit, by our names and in our shapes.
    pub values: BTreeMap<String, Tensor>,
    /// What the network has and the file has not, by the file's naming where it knows such a tensor.
    pub missing: Vec<String>,
    /// What the file has and the network has not, by the file's names.
    pub left_over: Vec<String>,
    /// What both have in different shapes.
    pub misshapen: Vec<Misshapen>,
}

/// A tensor that both sides have in different shapes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misshapen {
    /// By the file's name.
    pub name: String,
    /// Its shape in the file.
    pub found: Vec<usize>,
    /// Its shape in the network.
    pub wanted: Vec<usize>,
}

impl Import {
    /// Fits `tensors` to the network.
    ///
    /// A file with running statistics is a training form; without, it is a deployed one.
    ///
    /// # Errors
    /// When the network cannot be built.
    pub fn of(tensors: &BTreeMap<String, Tensor>, config: &ModelConfig, task: Task) -> Result<Self, InteropError> {
        let merged = !tensors.keys().any(|name| name.ends_with("running_var"));
        let form = if merged { StoredForm::Deployed } else { StoredForm::Training };
        let wanted = shapes(config, task, form)?;
        let naming = naming_of(tensors, &wanted);
        let mut import = Self {
            naming,
            form,
            values: BTreeMap::new(),
            missing: Vec::new(),
            left_over: Vec::new(),
            misshapen: Vec::new(),
        };
        for (name, tensor) in tensors.iter().filter(|(name, _)| is_filled(name)) {
            let ours = naming.to_ours(name);
            match ours.and_then(|ours| wanted.get(&ours).map(|shape| (ours, shape))) {
                None => import.left_over.push(name.clone()),
                Some((ours, shape)) if same_but_for_ones(tensor.dims(), shape) => {
                    import.values.insert(ours, tensor.reshape(shape.as_slice())?);
                }
                Some((_, shape)) => {
                    let (found, wanted) = (tensor.dims().to_vec(), shape.clone());
                    import.misshapen.push(Misshapen { name: name.clone(), found, wanted });
                }
            }
        }
        let theirs = |ours: &String| naming.from_ours(ours).unwrap_or_else(|| ours.clone());
        let absent = wanted.keys().map(|ours| (ours, theirs(ours))).filter(|(_, theirs)| !tensors.contains_key(theirs));
        import.missing = absent.map(|(_, theirs)| theirs).collect();
        Ok(import)
    }

    /// Whether every tensor of the network has a value; the file may hold others besides.
    pub fn is_complete(&self) -> bool {
        self.missing.is_empty() && self.misshapen.is_empty()
    }
}

/// The network that values are fitted to or taken from, with its variables.
pub(crate) fn build(config: &ModelConfig, task: Task) -> Result<(Model, Vars), InteropError> {
    let faults = config.faults(task);
    if !faults.is_empty() {
        return Err(InteropError::Config(faults));
    }
    // Every initial value is overwritten or only its shape is looked at: the seed does not matter.
    let vars = Vars::new(0, DType::F32, &Device::Cpu);
    let model = Model::new(config, task, &vars.root())?;
    Ok((model, vars))
}

/// Our names and shapes of all tensors of a form.
fn shapes(config: &ModelConfig, task: Task, form: StoredForm) -> Result<BTreeMap<String, Vec<usize>>, InteropError> {
    let (model, vars) = build(config, task)?;
    let training = || vars.all().into_iter().map(|(name, var)| (name, var.dims().to_vec())).collect();
    Ok(match form {
        StoredForm::Training => training(),
        StoredForm::Deployed => {
            let tensors = model.reparameterize()?.tensors();
            tensors.into_iter().map(|(name, tensor)| (name, tensor.dims().to_vec())).collect()
        }
    })
}

/// The naming that finds more of the network's tensors.
fn naming_of(tensors: &BTreeMap<String, Tensor>, wanted: &BTreeMap<String, Vec<usize>>) -> Naming {
    let found = |naming: Naming| {
        tensors.keys().filter(|name| naming.to_ours(name).is_some_and(|ours| wanted.contains_key(&ours))).count()
    };
    if found(Naming::Torchvision) > found(Naming::Official) { Naming::Torchvision } else { Naming::Official }
}
