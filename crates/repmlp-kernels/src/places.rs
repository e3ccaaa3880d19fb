//! Tables of places on a device: for each number of a result, the place of the number that it copies. One lookup
//! replaces loops over taps and groups. A table depends on sizes only, so it is uploaded once.

use std::collections::BTreeMap;
use std::sync::{Mutex, OnceLock, PoisonError};

use candle_core::{Device, Result, Tensor};

/// The place of a number that is 0 and copies nothing. Candle's lookups know it.
pub(crate) const NOWHERE: u32 = u32::MAX;

/// What a table depends on: its kind, and all sizes.
pub(crate) type Key = (&'static str, Vec<usize>);

/// Returns the table with this key on a device. `make` lists its places when it is asked for the first time.
///
/// # Errors
/// Fails when candle fails.
pub(crate) fn table(device: &Device, key: Key, make: impl FnOnce() -> Vec<u32>) -> Result<Tensor> {
    static TABLES: OnceLock<Mutex<BTreeMap<Key, Vec<Tensor>>>> = OnceLock::new();
    let mut tables = TABLES.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
    let known = tables.entry(key).or_default();
    if let Some(table) = known.iter().find(|table| table.device().same_device(device)) {
        return Ok(table.clone());
    }
    let places = make();
    let count = places.len();
    let table = Tensor::from_vec(places, count, device)?;
    known.push(table.clone());
    Ok(table)
}
