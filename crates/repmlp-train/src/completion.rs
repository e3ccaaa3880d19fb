//! The steps after the last epoch: merge the network, compare both forms, and count.

use candle_core::{DType, Tensor};
use repmlp::Mode;
use repmlp::cost::CountedForm;
use repmlp::models::Model;
use repmlp::vars::Vars;
use sweep_protocol::{Event, Form, Measurement, Metric, Outcome, Split, WEIGHTS_FILE};

use crate::checkpoint::{self, CheckpointError};
use crate::config::RunConfig;
use crate::data::Subset;
use crate::equivalence::Comparison;
use crate::error::TrainError;
use crate::evaluate::EvaluationSplit;
use crate::kept;
use crate::ledger::Ledger;
use crate::train::Run;

impl Run<'_> {
    /// Merges the network, compares both forms, and counts parameters and multiply-adds. If the best epoch is kept, the
    /// network gets its weights first.
    pub(crate) fn finish(&self, ledger: &mut Ledger<'_>) -> Result<Outcome, TrainError> {
        if self.epochs_done() < self.config.training.epochs {
            let text = format!("the training stopped early, after epoch {}", self.epochs_done());
            ledger.say(Event::Noticed { text })?;
        }
        let epoch = self.epoch_of_weights(ledger)?;
        let deployed = self.learner.model.reparameterize()?;
        let test = self.split(&self.data.test);
        let answer = self.config.model.answer();
        let comparison = Comparison::on(test, answer, [&|x| self.evaluated(x), &|x| deployed.forward(x)])?;
        let mut measurements = self.counts();
        measurements.extend(self.epochs(epoch));
        let epoch = Some(epoch);
        let split = Some(Split::Test);
        let mut add = |metric, form, value| measurements.push(Measurement { metric, split, form, epoch, value });
        add(Metric::MaxAbsDiff, None, comparison.max_abs_diff);
        add(Metric::LargestLogit, None, comparison.largest);
        add(Metric::Top1Agreement, None, comparison.agreement());
        let judged = self.learner.judge.evaluate(test, |x| deployed.forward(x))?;
        judged.values.iter().for_each(|(metric, value)| add(*metric, Some(Form::Deployed), *value));
        ledger.measured(measurements)?;
        if let Some(told) = judged.told {
            let classes = self.config.task().classes;
            ledger.say(match told.predictions((Split::Test, Some(Form::Deployed), epoch), classes) {
                Ok(predictions) => Event::Predicted { predictions },
                Err(fault) => {
                    Event::Noticed { text: format!("the predictions of the test images are not kept: {fault}") }
                }
            })?;
        }
        let weights = self.weights();
        compare_in_f64(self.config, [&weights, &weights], test)?.prove_merge()?;
        if let Some(text) = comparison.settle_rounding()? {
            ledger.say(Event::Noticed { text })?;
        }
        ledger.may_write()?;
        self.save_weights()?;
        Ok(Outcome::Succeeded)
    }

    /// Returns the epoch whose weights are the result. If it is not the last one, the network gets these weights.
    fn epoch_of_weights(&self, ledger: &Ledger<'_>) -> Result<u32, TrainError> {
        let done = self.epochs_done();
        let best = self.config.training.keep.as_ref().and_then(|keep| keep.best(ledger.so_far()));
        let Some(best) = best.filter(|best| *best != done) else { return Ok(done) };
        let folders = std::iter::once(&self.resources.folder).chain(&self.resources.resume_from);
        let folder = self.resources.folder.clone();
        let tensors = kept::load(folders, best).ok_or(CheckpointError::Lost { folder, epoch: best })?;
        self.vars.load(&tensors)?;
        Ok(best)
    }

    /// Returns which epochs were trained and kept, if the configuration decides about them.
    fn epochs(&self, of_weights: u32) -> Vec<Measurement> {
        let training = &self.config.training;
        let is_best_kept = training.keep.as_ref().is_some_and(|keep| keep.best.is_some());
        let kept = is_best_kept.then_some((Metric::EpochOfWeights, of_weights));
        let trained = training.stop_early.is_some().then_some((Metric::EpochsTrained, self.epochs_done()));
        let measured = |(metric, epoch): (Metric, u32)| Measurement {
            metric,
            split: None,
            form: Some(Form::Training),
            epoch: None,
            value: f64::from(epoch),
        };
        kept.into_iter().chain(trained).map(measured).collect()
    }

    pub(crate) fn weights(&self) -> Vec<(String, Tensor)> {
        self.vars.all().into_iter().map(|(name, var)| (name, var.as_tensor().clone())).collect()
    }

    fn save_weights(&self) -> Result<(), TrainError> {
        Ok(checkpoint::save_weights(&self.resources.folder, WEIGHTS_FILE, &self.weights())?)
    }

    /// Returns parameters and multiply-adds of both forms.
    fn counts(&self) -> Vec<Measurement> {
        let forms = [(CountedForm::Training, Form::Training), (CountedForm::Deployed, Form::Deployed)];
        let of_form = |(counted, form)| {
            let account = self.config.model.account(self.config.task(), counted);
            [
                (Metric::Params, account.params()),
                (Metric::Flops, account.flops()),
                (Metric::FlopsAll, account.flops_all()),
            ]
            .map(|(metric, count)| Measurement {
                metric,
                split: None,
                form: Some(form),
                epoch: None,
                value: count as f64,
            })
        };
        forms.into_iter().flat_map(of_form).collect()
    }
}

/// Maximum number of images for the comparison of both forms in f64.
const IMAGES_IN_F64: usize = 32;

/// Compares two networks in f64: the training form with the first weights, and the merged form of the second weights.
/// Both weights are the same except in tests. In f64, rounding is negligible, so a larger difference is an error of the
/// merge.
fn compare_in_f64(
    config: &RunConfig,
    [of_trained, of_merged]: [&[(String, Tensor)]; 2],
    split: EvaluationSplit<'_>,
) -> Result<Comparison, TrainError> {
    let network = |weights: &[(String, Tensor)]| {
        // Every initial value is overwritten, so the seed does not matter.
        let vars = Vars::new(0, DType::F64, split.device);
        let model = Model::new(&config.model, config.task(), &vars.root())?;
        vars.load(&weights.iter().cloned().collect())?;
        Ok::<Model, TrainError>(model)
    };
    let (model, deployed) = (network(of_trained)?, network(of_merged)?.reparameterize()?);
    let trained = |x: &Tensor| Ok(model.forward(&x.to_dtype(DType::F64)?, Mode::Evaluate)?.detach());
    let merged = |x: &Tensor| deployed.forward(&x.to_dtype(DType::F64)?);
    // With tiles, one scene is already several inputs of the network.
    let most = if split.preparation.tiles.is_some() { 1 } else { IMAGES_IN_F64.min(split.batch_size()) };
    let few = most.min(split.subset.images.len());
    let subset = Subset { images: split.subset.images[..few].to_vec(), ..split.subset.clone() };
    Comparison::on(EvaluationSplit { subset: &subset, ..split }, config.model.answer(), [&trained, &merged])
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    const CONFIG: &str = r#"
        data = { source = { kind = "fashion-mnist-5k" }, image_size = 32, test_limit = 8 }
        measure = { batch = 4, warmup = 0, repeats = 1 }
        [model]
        kind = "cifar-net"
        widths = [2, 2, 2]
        hidden = 8
        block = { kind = "rep-mlp", partition = [8, 8], groups = 2, local_kernels = [1, 3] }
        [training]
        epochs = 1
        batch = 4
        optimizer = { kind = "sgd", learning_rate = 0.1, momentum = 0.0, nesterov = false, weight_decay = 0.0 }
        schedule = { kind = "constant", warmup_epochs = 0.0 }
    "#;

    /// Returns weights with changed statistics and biases, as after a training, so that the merge has an effect.
    fn trained(config: &RunConfig) -> candle_core::Result<Vec<(String, Tensor)>> {
        let vars = Vars::new(3, DType::F32, &Device::Cpu);
        let _model = Model::new(&config.model, config.task(), &vars.root())?;
        let as_trained = |(name, var): (String, candle_core::Var)| {
            let value = match name.rsplit('.').next() {
                Some("running_var") => (var.as_tensor() * 0.02)? + 0.02,
                Some("running_mean") => var.as_tensor() + 0.02,
                // A ReLU that outputs only zeros would hide errors before it.
                Some("bias") => var.as_tensor() + 0.5,
                _ => Ok(var.as_tensor().clone()),
            };
            Ok((name, value?))
        };
        vars.all().into_iter().map(as_trained).collect()
    }

    /// Compares a trained network with the merge of altered weights. This simulates a wrong merge.
    fn against(
        config: &RunConfig,
        alter: impl Fn(&str, &Tensor) -> candle_core::Result<Option<Tensor>>,
    ) -> Result<Comparison, TrainError> {
        let data = config.data.load(None, 0)?;
        let weights = trained(config)?;
        let altered: candle_core::Result<Vec<_>> = (weights.iter())
            .map(|(name, value)| Ok((name.clone(), alter(name, value)?.unwrap_or_else(|| value.clone()))))
            .collect();
        let split =
            EvaluationSplit { subset: &data.test, preparation: &data.preparation, device: &Device::Cpu, threads: 1 };
        compare_in_f64(config, [&weights, &altered?], split)
    }

    #[test]
    fn a_right_merge_passes_with_a_tenth_of_the_bound() -> Result<(), TrainError> {
        let config: RunConfig = toml::from_str(CONFIG).unwrap();
        let comparison = against(&config, |_, _| Ok(None))?;
        comparison.prove_merge()?;
        assert!((comparison.agreement() - 1.0).abs() < 1e-12);
        assert!(comparison.max_abs_diff <= 1e-10 * comparison.largest, "{comparison:?}");
        Ok(())
    }

    #[test]
    fn every_wrong_merge_is_caught() -> Result<(), TrainError> {
        let config: RunConfig = toml::from_str(CONFIG).unwrap();
        let names: Vec<String> = trained(&config)?.into_iter().map(|(name, _)| name).collect();
        let mut mutants = 0;
        for wrong in names {
            // Each mutant simulates one mistake of a merge. A forgotten eps is a smaller variance. A forgotten bias,
            // mean, scale or branch is zero. Confused groups are weights in another order.
            type Mutant = fn(&Tensor) -> candle_core::Result<Tensor>;
            let mutant: Mutant = match wrong.rsplit('.').next() {
                Some("running_var") => |value| value - 1e-5,
                Some("weight") if wrong.contains("fc3") && !wrong.contains("bn") => |value| {
                    let half = value.dim(0)? / 2;
                    Tensor::cat(&[value.narrow(0, half, half)?, value.narrow(0, 0, half)?], 0)
                },
                _ => Tensor::zeros_like,
            };
            let comparison =
                against(&config, |name, value| if name == wrong { mutant(value).map(Some) } else { Ok(None) })?;
            assert!(comparison.prove_merge().is_err(), "{wrong}: {comparison:?}");
            mutants += 1;
        }
        assert!(mutants > 40, "{mutants}");
        Ok(())
    }
}
