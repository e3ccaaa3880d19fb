//! The costs of a network, counted by the paper's conventions. No tensor is built.
//!
//! `flops` counts multiply-adds with weights of convolutions and FC layers, but not biases, batch norm, activations,
//! pooling or additions. Products between activations (attention) are counted separately; only `flops_all` and
//! `flops_needed` include them. Parameters are the weights and biases of the counted form. In the training form they
//! include running statistics, as in Table 1 row A of the paper.

/// The form that is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CountedForm {
    /// The training form, with convolution branches and batch norm.
    Training,
    /// The deployed form, after merging.
    Deployed,
}

/// Costs of one layer. All numbers are for one image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LayerCost {
    /// Dotted name.
    pub name: String,
    /// Shape of the weight; empty if the layer has none.
    pub shape: Vec<usize>,
    /// Number of weights, biases and, in the training form, running statistics.
    pub params: usize,
    /// Multiply-adds with weights.
    pub flops: usize,
    /// The part of `flops` that multiplies zeros of the padding. These multiply-adds can be skipped.
    pub padding_flops: usize,
    /// Multiply-adds between activations.
    pub activation_flops: usize,
    /// Channels, height and width of the output.
    pub output: [usize; 3],
    /// Numbers that a training step keeps for the backward pass.
    pub kept: usize,
}

impl LayerCost {
    /// Returns the costs of a 1×1 convolution with a bias on an h×w map. On a 1×1 map this is an FC layer.
    pub fn pointwise(name: String, (inputs, outputs): (usize, usize), (h, w): (usize, usize)) -> Self {
        Self {
            name,
            shape: vec![outputs, inputs, 1, 1],
            params: inputs * outputs + outputs,
            flops: inputs * outputs * h * w,
            padding_flops: 0,
            activation_flops: 0,
            output: [outputs, h, w],
            // The product before and after the bias is added.
            kept: 2 * outputs * h * w,
        }
    }

    /// Multiply-adds that must be computed, including products between activations: all except those with padding.
    pub fn flops_needed(&self) -> usize {
        self.flops - self.padding_flops + self.activation_flops
    }
}

/// The costs of a network, per layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    form: CountedForm,
    layers: Vec<LayerCost>,
}

impl Account {
    /// Creates an empty account.
    pub fn new(form: CountedForm) -> Self {
        Self { form, layers: Vec::new() }
    }

    /// The form that is counted.
    pub fn form(&self) -> CountedForm {
        self.form
    }

    /// Parameters of a batch norm over `channels` in the counted form. The training form has scale, shift, mean and
    /// variance. In the deployed form the layer before it has absorbed the scale; one bias per channel remains.
    pub fn norm_params(&self, channels: usize) -> usize {
        match self.form {
            CountedForm::Training => 4 * channels,
            CountedForm::Deployed => channels,
        }
    }

    /// Adds a layer.
    pub fn add(&mut self, layer: LayerCost) {
        self.layers.push(layer);
    }

    /// All layers in the order of the forward pass.
    pub fn layers(&self) -> &[LayerCost] {
        &self.layers
    }

    /// Parameters of the whole network.
    pub fn params(&self) -> usize {
        self.layers.iter().map(|layer| layer.params).sum()
    }

    /// Multiply-adds with weights for one image.
    pub fn flops(&self) -> usize {
        self.layers.iter().map(|layer| layer.flops).sum()
    }

    /// Multiply-adds for one image, including products between activations.
    pub fn flops_all(&self) -> usize {
        self.flops() + self.layers.iter().map(|layer| layer.activation_flops).sum::<usize>()
    }

    /// Multiply-adds for one image that must be computed, including products between activations: all except those with
    /// padding.
    pub fn flops_needed(&self) -> usize {
        self.layers.iter().map(LayerCost::flops_needed).sum()
    }

    /// Numbers per image that a training step keeps for the backward pass.
    pub fn kept(&self) -> usize {
        self.layers.iter().map(|layer| layer.kept).sum()
    }
}
