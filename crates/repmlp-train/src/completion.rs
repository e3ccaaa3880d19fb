//! What follows the last epoch: the network is merged, compared with itself, counted and timed.

use candle_core::Tensor;
use repmlp::cost::CountedForm;
use repmlp::models::DeployedModel;
use sweep_protocol::{Event, Form, Measurement, Metric, Outcome, Sink, Split};

use crate::checkpoint;
use crate::equivalence::Comparison;
use crate::error::TrainError;
use crate::throughput;
use crate::train::{Run, ThroughputTiming};

/// File that a finished run leaves its trained weights in.
pub const WEIGHTS: &str = "weights.safetensors";

impl Run<'_> {
    /// Merges, compares, counts, times.
    pub(crate) fn finish(&self, sink: &mut dyn Sink) -> Result<Outcome, TrainError> {
        let deployed = self.model.reparameterize()?;
        let test = self.split(&self.data.test);
        let answer = self.config.model.answer();
        let comparison = Comparison::on(test, answer, [&|x| self.evaluated(x), &|x| deployed.forward(x)])?;
        let mut measurements = self.counts();
        let epoch = Some(self.config.training.epochs);
        let split = Some(Split::Test);
        let mut add = |metric, form, value| measurements.push(Measurement { metric, split, form, epoch, value });
        if comparison.max_abs_diff.is_finite() {
            add(Metric::MaxAbsDiff, None, comparison.max_abs_diff);
        }
        add(Metric::Top1Agreement, None, comparison.agreement());
        let judged = self.judge.evaluate(test, |x| deployed.forward(x))?;
        for (metric, value) in judged.into_iter().filter(|(_, value)| value.is_finite()) {
            add(metric, Some(Form::Deployed), value);
        }
        sink.emit(Event::Measured { measurements })?;
        comparison.gate()?;
        match self.orders.throughput {
            ThroughputTiming::Later => Ok(Outcome::AwaitsQuiet),
            ThroughputTiming::Now => {
                let measurements = self.throughput(&deployed)?;
                sink.emit(Event::Measured { measurements })?;
                self.save_weights()?;
                Ok(Outcome::Succeeded)
            }
        }
    }

    fn save_weights(&self) -> Result<(), TrainError> {
        let weights: Vec<_> = self.vars.all().into_iter().map(|(name, var)| (name, var.as_tensor().clone())).collect();
        Ok(checkpoint::save_weights(&self.orders.folder, WEIGHTS, &weights)?)
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
