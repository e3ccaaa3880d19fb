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

/// One layer of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerCost {
    /// Dotted name.
    pub name: String,
    /// Weights, biases and (training form) running statistics.
    pub params: usize,
    /// Multiply-adds of weights for one image.
    pub flops: usize,
    /// Multiply-adds between activations for one image.
    pub activation_flops: usize,
}

/// Where in a network a cost arises: joined with dots like variables.
pub type Position<'a> = &'a str;

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

    /// A layer with `params` weights and biases.
    pub fn layer(&mut self, at: Position<'_>, params: usize, flops: usize) {
        self.layers.push(LayerCost { name: at.to_owned(), params, flops, activation_flops: 0 });
    }

    /// A layer with `weights` weights and batch norm over `channels` behind it: deployed, the norm is one bias.
    pub fn weights_with_bn(&mut self, at: Position<'_>, weights: usize, channels: usize, flops: usize) {
        let norm = match self.form {
            CountedForm::Training => 4 * channels,
            CountedForm::Deployed => channels,
        };
        self.layer(at, weights + norm, flops);
    }

    /// Products between activations.
    pub fn activations(&mut self, at: Position<'_>, activation_flops: usize) {
        self.layers.push(LayerCost { name: at.to_owned(), params: 0, flops: 0, activation_flops });
    }
}
