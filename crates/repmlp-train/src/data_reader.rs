//! Reads all input data of a plan before any run starts: every data set once, and the weights that runs start from.

use std::path::Path;

use sweep_protocol::FailureKind;
use sweep_trainer::{DataReader, TrainerError};

use crate::config::RunConfig;
use crate::data::{DataConfig, DataError, DigestCache, TrainCount};
use crate::error::TrainError;
use crate::trainer::CandleTrainer;

/// Facts about a data set that was read.
#[derive(Clone)]
struct ReadSet {
    fingerprint: String,
    count: TrainCount,
}

pub(crate) struct CandleData<'a> {
    trainer: &'a CandleTrainer,
    folder: Option<&'a Path>,
    digests: DigestCache,
    read: Vec<(DataConfig, ReadSet)>,
    /// Sets that cannot be read, with the reason.
    unread: Vec<(DataConfig, String)>,
}

impl<'a> CandleData<'a> {
    pub(crate) fn new(trainer: &'a CandleTrainer, folder: Option<&'a Path>, digests: &Path) -> Self {
        Self { trainer, folder, digests: DigestCache::new(digests), read: Vec::new(), unread: Vec::new() }
    }

    fn set(&mut self, config: &DataConfig) -> Result<ReadSet, TrainerError> {
        if let Some((_, set)) = self.read.iter().find(|(data, _)| data == config) {
            return Ok(set.clone());
        }
        if let Some((_, why)) = self.unread.iter().find(|(data, _)| data == config) {
            return Err(TrainerError::new(FailureKind::Data, why.clone()));
        }
        match self.read_set(config) {
            Ok(set) => {
                self.read.push((config.clone(), set.clone()));
                Ok(set)
            }
            Err(error) => {
                let error = TrainerError::from(TrainError::from(error));
                self.unread.push((config.clone(), sweep_protocol::error_chain(&error)));
                Err(error)
            }
        }
    }

    fn read_set(&self, config: &DataConfig) -> Result<ReadSet, DataError> {
        // Files that were read completely once are not read again for another split of the same set.
        let same_files = |data: &DataConfig| data.source == config.source && data.pixel_limit == config.pixel_limit;
        let data = match self.read.iter().any(|(data, _)| same_files(data)) {
            true => config.load_known(self.folder, 0, &self.digests)?,
            false => config.check_known(self.folder, 0, &self.digests)?,
        };
        Ok(ReadSet { fingerprint: data.fingerprint, count: data.count })
    }

    fn fingerprint_of(&self, config: &RunConfig, set: &ReadSet) -> Result<String, TrainError> {
        set.count.batches(config.training.batch)?;
        Ok(config.fingerprint(&set.fingerprint, self.folder)?)
    }
}

impl DataReader for CandleData<'_> {
    fn keep_digests(&self) {
        // Without them, the next reader hashes the set again.
        let _: std::io::Result<()> = self.digests.save();
    }

    fn is_carried(&self, config: &str) -> Result<bool, TrainerError> {
        Ok(self.trainer.config(config)?.data.source.is_carried())
    }

    fn fingerprint(&mut self, config: &str) -> Result<String, TrainerError> {
        let config = self.trainer.config(config)?;
        let set = self.set(&config.data)?;
        Ok(self.fingerprint_of(&config, &set)?)
    }
}
