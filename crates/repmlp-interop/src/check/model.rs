//! Checks cases of whole networks: the logits of both forms.

use repmlp::Mode;
use repmlp::models::Model;

use crate::case::{ModelCase, Structure};
use crate::check::What;
use crate::check::rows::{Filling, Rows};
use crate::error::InteropError;

pub(super) fn check(case: &ModelCase, rows: &mut Rows<'_>) -> Result<(), InteropError> {
    let Structure { config, task, batch_norm } = &case.structure;
    let vars = rows.vars(*batch_norm);
    let model = Model::new(config, *task, &vars.root())?;
    let filling = Filling {
        shapes: case.names.as_ref(),
        naming: case.keys.naming,
        weight_gain: case.weight_gain,
        parameter_count: case.parameter_count,
    };
    if !rows.fill(&vars, &filling)? {
        return Ok(());
    }
    let input = rows.filled("input", &case.input)?;
    let bound = rows.precision.bound();
    // Detach the logits: the graph of a whole network would keep every map in memory.
    rows.compare(What::Logits, &model.forward(&input, Mode::Evaluate)?.detach(), "logits", bound)?;
    let deployed = model.reparameterize()?;
    rows.compare(What::DeployedLogits, &deployed.forward(&input)?, "logits", bound)
}
