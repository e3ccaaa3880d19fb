//! What follows the last epoch: the network is merged, compared with itself, counted and timed.

use candle_core::{DType, Tensor};
use repmlp::Mode;
use repmlp::cost::CountedForm;
use repmlp::models::{DeployedModel, Model};
use repmlp::vars::Vars;
use sweep_protocol::{Event, Form, Measurement, Metric, Outcome, Split};

use crate::checkpoint;
use crate::config::RunConfig;
use crate::equivalence::Comparison;
use crate::error::TrainError;
use crate::evaluate::EvaluationSplit;
use crate::ledger::Ledger;
use crate::throughput::{self, Network};
use crate::train::{Run, ThroughputTiming};

/// File that a finished run leaves its trained weights in.
pub const WEIGHTS: &str = "weights.safetensors";

impl Run<'_> {
    /// Merges, compares, counts, times.
    pub(crate) fn finish(&self, ledger: &mut Ledger<'_>) -> Result<Outcome, TrainError> {
        let deployed = self.learner.model.reparameterize()?;
        let test = self.split(&self.data.test);
        let answer = self.config.model.answer();
        let comparison = Comparison::on(test, answer, [&|x| self.evaluated(x), &|x| deployed.forward(x)])?;
        let mut measurements = self.counts();
        let epoch = Some(self.config.training.epochs);
        let split = Some(Split::Test);
        let mut add = |metric, form, value| measurements.push(Measurement { metric, split, form, epoch, value });
        add(Metric::MaxAbsDiff, None, comparison.max_abs_diff);
        add(Metric::Top1Agreement, None, comparison.agreement());
        let judged = self.learner.judge.evaluate(test, |x| deployed.forward(x))?;
        judged.into_iter().for_each(|(metric, value)| add(metric, Some(Form::Deployed), value));
        ledger.measured(measurements)?;
        if let Some(exact) = comparison.settle(|| compare_in_f64(self.config, &self.weights(), test))? {
            let text = format!(
                "both forms differ by {:.1e}, and by {:.1e} when computed in f64: the merge is right, but the network \
                 enlarges rounding errors",
                comparison.max_abs_diff, exact.max_abs_diff
            );
            ledger.say(Event::Noticed { text })?;
        }
        match self.orders.throughput {
            ThroughputTiming::Later => Ok(Outcome::AwaitsQuiet),
            ThroughputTiming::Now => {
                let measurements = self.throughput(&deployed)?;
                ledger.measured(measurements)?;
                ledger.may_write()?;
                self.save_weights()?;
                Ok(Outcome::Succeeded)
            }
        }
    }

    pub(crate) fn weights(&self) -> Vec<(String, Tensor)> {
        self.vars.all().into_iter().map(|(name, var)| (name, var.as_tensor().clone())).collect()
    }

    fn save_weights(&self) -> Result<(), TrainError> {
        Ok(checkpoint::save_weights(&self.orders.folder, WEIGHTS, &self.weights())?)
    }

    /// Parameters and multiply-adds of both forms.
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

    fn throughput(&self, deployed: &DeployedModel) -> Result<Vec<Measurement>, TrainError> {
        let measure = &self.config.measure;
        // Real images: what networks do with noise can be faster.
        let Some(batch) = self.split(&self.data.test).sample(measure.batch)? else { return Ok(Vec::new()) };
        let [trained, merged] = throughput::measure(
            measure,
            &batch.images_nchw,
            [&|x: &Tensor| self.evaluated(x), &|x: &Tensor| deployed.forward(x)],
        )?;
        let of_form = |(form, rate): (Form, throughput::Throughput)| {
            [(Metric::Throughput, rate.median), (Metric::ThroughputSpread, rate.spread)]
                .map(|(metric, value)| Measurement { metric, split: None, form: Some(form), epoch: None, value })
        };
        Ok([(Form::Training, trained), (Form::Deployed, merged)].into_iter().flat_map(of_form).collect())
    }
}

/// Both forms of a network with these weights compared where rounding hardly counts: what is left of a difference is the
/// merge's.
fn compare_in_f64(
    config: &RunConfig,
    weights: &[(String, Tensor)],
    split: EvaluationSplit<'_>,
) -> Result<Comparison, TrainError> {
    // Every initial value is overwritten: the seed does not matter.
    let vars = Vars::new(0, DType::F64, split.device);
    let model = Model::new(&config.model, config.task(), &vars.root())?;
    vars.load(&weights.iter().cloned().collect())?;
    let deployed = model.reparameterize()?;
    // Answers as f32: as precise as the bound asks for.
    let in_f64 = |images: &Tensor, network: Network<'_>| network(&images.to_dtype(DType::F64)?)?.to_dtype(DType::F32);
    let trained = |x: &Tensor| in_f64(x, &|x| Ok(model.forward(x, Mode::Evaluate)?.detach()));
    let merged = |x: &Tensor| in_f64(x, &|x| deployed.forward(x));
    Comparison::on(split, config.model.answer(), [&trained, &merged])
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    const CONFIG: &str = r#"
        data = { source = { kind = "fashion-mnist-5k" }, image_size = 32, test_limit = 8 }
        model = { kind = "cifar-net", widths = [2, 2, 2], hidden = 8, block = { kind = "rep-mlp", partition = [8, 8], groups = 1, local_kernels = [1, 3] } }
        measure = { batch = 4, warmup = 0, repeats = 1 }
        [training]
        epochs = 1
        batch = 4
        optimizer = { kind = "sgd", learning_rate = 0.1, momentum = 0.0, nesterov = false, weight_decay = 0.0 }
        schedule = { kind = "constant", warmup_epochs = 0.0 }
    "#;

    #[test]
    fn in_f64_both_forms_differ_by_no_more_than_answers_round() -> Result<(), TrainError> {
        let config: RunConfig = toml::from_str(CONFIG).unwrap();
        let data = config.data.load(None, 0)?;
        let vars = Vars::new(3, DType::F32, &Device::Cpu);
        let _model = Model::new(&config.model, config.task(), &vars.root())?;
        // Statistics as a training leaves them, so that there is something to merge.
        let trained = |(name, var): (String, candle_core::Var)| {
            let value =
                if name.contains("running_") { (var.as_tensor() * 0.3)? - 0.02 } else { Ok(var.as_tensor().clone()) };
            Ok((name, value?))
        };
        let weights = vars.all().into_iter().map(trained).collect::<candle_core::Result<Vec<_>>>()?;
        let split =
            EvaluationSplit { subset: &data.test, preparation: &data.preparation, device: &Device::Cpu, threads: 1 };
        let comparison = compare_in_f64(&config, &weights, split)?;
        assert!((comparison.agreement() - 1.0).abs() < 1e-12);
        // Half a unit in the last place of an answer; in f32 they differ by several.
        assert!(comparison.max_abs_diff <= f64::from(f32::EPSILON / 2.0), "{comparison:?}");
        Ok(())
    }
}
