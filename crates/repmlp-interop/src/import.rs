//! Assigns the tensors of a file to one of our networks: detects their naming and form, and lists what does not fit.
//!
//! A tensor is assigned by its name alone, and only if its shape is right.

use std::collections::BTreeMap;
use std::fmt;

use candle_core::{DType, Device, Tensor};
use repmlp::models::{Model, ModelConfig, Task};
use repmlp::vars::Vars;

use crate::error::InteropError;
use crate::filling::is_filled;
use crate::names::Naming;
use crate::shape::same_but_for_ones;

/// Form of the network in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoredForm {
    /// Training form, with convolution branches and batch norm.
    Training,
    /// Deployed form, after merging.
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

/// The tensors of a file, assigned to a network.
#[derive(Clone, Debug)]
pub struct Import {
    /// Naming of the file.
    pub naming: Naming,
    /// Form of the network in the file.
    pub form: StoredForm,
    /// Tensors that fit, with our names and in our shapes.
    pub values: BTreeMap<String, Tensor>,
    /// Tensors of the network that the file lacks. Names follow the file's naming, or ours if it has no such tensor.
    pub missing: Vec<String>,
    /// Tensors of the file that the network lacks, with the file's names.
    pub left_over: Vec<String>,
    /// Tensors that have different shapes in the file and in the network.
    pub misshapen: Vec<Misshapen>,
}

/// A tensor that has different shapes in the file and in the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misshapen {
    /// Name in the file.
    pub name: String,
    /// Shape in the file.
    pub found: Vec<usize>,
    /// Shape in the network.
    pub wanted: Vec<usize>,
}

impl Import {
    /// Assigns `tensors` to the network.
    ///
    /// A file with running statistics contains the training form; a file without them contains the deployed form.
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

    /// Whether every tensor of the network has a value. The file may contain additional tensors.
    pub fn is_complete(&self) -> bool {
        self.missing.is_empty() && self.misshapen.is_empty()
    }
}

/// Builds the network, and returns it with its variables.
pub(crate) fn build(config: &ModelConfig, task: Task) -> Result<(Model, Vars), InteropError> {
    let faults = config.faults(task);
    if !faults.is_empty() {
        return Err(InteropError::Config(faults));
    }
    // The seed does not matter: initial values are overwritten, or only their shapes are used.
    let vars = Vars::new(0, DType::F32, &Device::Cpu);
    let model = Model::new(config, task, &vars.root())?;
    Ok((model, vars))
}

/// Returns our names and shapes of all tensors of a form.
fn shapes(config: &ModelConfig, task: Task, form: StoredForm) -> Result<BTreeMap<String, Vec<usize>>, InteropError> {
    let (model, vars) = build(config, task)?;
    let training = || vars.all().into_iter().map(|(name, var)| (name, var.dims().to_vec())).collect();
    Ok(match form {
        StoredForm::Training => training(),
        StoredForm::Deployed => {
            let tensors = model.reparameterize()?.tensors()?;
            tensors.into_iter().map(|(name, tensor)| (name, tensor.dims().to_vec())).collect()
        }
    })
}

/// Returns the naming that matches more tensors of the network.
fn naming_of(tensors: &BTreeMap<String, Tensor>, wanted: &BTreeMap<String, Vec<usize>>) -> Naming {
    let found = |naming: Naming| {
        tensors.keys().filter(|name| naming.to_ours(name).is_some_and(|ours| wanted.contains_key(&ours))).count()
    };
    if found(Naming::Torchvision) > found(Naming::Official) { Naming::Torchvision } else { Naming::Official }
}
