//! What a network costs, by the paper's conventions, without building a tensor.
//!
//! `flops` are multiply-adds of conv and FC weights: no bias, batch norm, activation, pooling or addition. Products
//! between activations (attention) are kept apart and counted in `flops_all` only. Parameters are weights and biases
//! of the form that is asked for; the training form counts running statistics too, as the paper's Table 1 row A does.

/// Which form is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CountedForm {
    /// With convolution branches and batch norm.
    Training,
    /// Merged.
    Deployed,
}

/// One layer of an account. All sizes are those of one image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LayerCost {
    /// Dotted name.
    pub name: String,
    /// Dimensions of its weight; empty without one.
    pub shape: Vec<usize>,
    /// Weights, biases and (training form) running statistics.
    pub params: usize,
    /// Multiply-adds of weights.
    pub flops: usize,
    /// Multiply-adds between activations.
    pub activation_flops: usize,
    /// Channels, height and width of its output.
    pub output: [usize; 3],
    /// Numbers that a training step keeps for the way back.
    pub kept: usize,
}

/// The costs of a network, layer by layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    form: CountedForm,
    layers: Vec<LayerCost>,
}

impl Account {
    /// Nothing yet.
    pub fn new(form: CountedForm) -> Self {
        Self { form, layers: Vec::new() }
    }

    /// The form that is counted.
    pub fn form(&self) -> CountedForm {
        self.form
    }

    /// Numbers that batch norm over `channels` leaves in this form, given that a layer before it takes its scale: scale, shift,
    /// mean and variance while training, one bias when merged.
    pub fn norm_params(&self, channels: usize) -> usize {
        match self.form {
            CountedForm::Training => 4 * channels,
            CountedForm::Deployed => channels,
        }
    }

    /// One more layer.
    pub fn add(&mut self, layer: LayerCost) {
        self.layers.push(layer);
    }

    /// All layers, in the order in which data passes.
    pub fn layers(&self) -> &[LayerCost] {
        &self.layers
    }

    /// Parameters of the whole network.
    pub fn params(&self) -> usize {
        self.layers.iter().map(|layer| layer.params).sum()
    }

    /// Multiply-adds of weights for one image.
    pub fn flops(&self) -> usize {
        self.layers.iter().map(|layer| layer.flops).sum()
    }

    /// Multiply-adds for one image, products between activations included.
    pub fn flops_all(&self) -> usize {
        self.flops() + self.layers.iter().map(|layer| layer.activation_flops).sum::<usize>()
    }

    /// Numbers that a training step keeps of one image until the way back.
    pub fn kept(&self) -> usize {
        self.layers.iter().map(|layer| layer.kept).sum()
    }
}
