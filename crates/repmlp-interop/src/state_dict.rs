//! Reads the tensors of a `torch.save` archive. The archive is a zip file. It contains a pickle, which describes the
//! tensors, and storages with their numbers.
//!
//! Sizes in an archive are not trusted. Before memory is allocated, a tensor must lie inside its storage, and the
//! storage must not be larger than the file.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};

use candle_core::{DType, Device, Tensor};
use zip::ZipArchive;

use crate::pickle::{self, Id, Pickle, Value};

/// Keys under which training scripts save the state dict of a network.
const NESTINGS: &[&str] = &["state_dict", "model", "model_state_dict", "state_dict_ema", "net"];

/// Maximum size of all tensors together, as a multiple of the size of the file. Tensors may share their numbers.
const MOST_SHARING: u64 = 4;

/// Error text for tensors that are too large.
const TOO_MUCH: &str = "its tensors have more numbers than the file can hold";

/// Returns the tensors of the first state dict in the file, by name.
pub(crate) fn read(file: File, size: u64) -> Result<BTreeMap<String, Tensor>, String> {
    let mut archive = Archive::open(file, size)?;
    let bytes = archive.pickle()?;
    let pickle = Pickle::read(&bytes).map_err(|reason| format!("its pickle is damaged: {reason}"))?;
    let mut tensors = BTreeMap::new();
    for (name, place) in state_dict(&pickle)? {
        let tensor = archive.tensor(&place).map_err(|reason| format!("`{name}`: {reason}"))?;
        tensors.insert(name.to_owned(), tensor);
    }
    Ok(tensors)
}

/// Position of a tensor's numbers in a storage.
struct Place<'a> {
    storage: &'a str,
    dtype: DType,
    /// Position of the first number. Offset and strides are counted in numbers, not bytes.
    offset: usize,
    dims: Vec<usize>,
    strides: Vec<usize>,
}

type Named<'a> = Vec<(&'a str, Place<'a>)>;

/// Returns the tensors of a pickled state dict. A nested state dict is preferred, because a script may save single
/// tensors, such as its best accuracy, next to it.
fn state_dict<'a>(pickle: &Pickle<'a>) -> Result<Named<'a>, String> {
    let root = match pickle.value(pickle.root) {
        Value::Built { state } => *state,
        _ => pickle.root,
    };
    let Some(items) = pickle.dict(root) else { return Ok(Vec::new()) };
    for key in NESTINGS {
        if let Some((_, nested)) = items.iter().find(|(name, _)| pickle.text(*name) == Some(key)) {
            let tensors = tensors(pickle, *nested)?;
            if !tensors.is_empty() {
                return Ok(tensors);
            }
        }
    }
    tensors(pickle, root)
}

fn tensors<'a>(pickle: &Pickle<'a>, dict: Id) -> Result<Named<'a>, String> {
    let mut tensors = Vec::new();
    for &(key, value) in pickle.dict(dict).unwrap_or_default() {
        let (Some(name), Some(arguments)) = (pickle.text(key), rebuild_arguments(pickle, value)) else { continue };
        match place(pickle, arguments) {
            Some(Ok(place)) => tensors.push((name, place)),
            // Skip number types that networks do not use.
            Some(Err(_)) => {}
            None => return Err(format!("`{name}` does not say where its numbers are stored")),
        }
    }
    Ok(tensors)
}

/// Returns the arguments of `torch._utils._rebuild_tensor_v2`, without the calls that may be wrapped around it.
fn rebuild_arguments<'p>(pickle: &'p Pickle<'_>, value: Id) -> Option<&'p [Id]> {
    let (name, arguments) = call(pickle, value)?;
    let (name, arguments) = match (name, arguments) {
        ("_rebuild_parameter", [data, ..]) => call(pickle, *data)?,
        ("_rebuild_from_type_v2", [function, _, arguments, ..]) => {
            let Value::Global { name, .. } = pickle.value(*function) else { return None };
            (*name, pickle.sequence(*arguments)?)
        }
        other => other,
    };
    (name == "_rebuild_tensor_v2").then_some(arguments)
}

/// Returns name and arguments of a call of a PyTorch function that creates tensors.
fn call<'p>(pickle: &'p Pickle<'_>, value: Id) -> Option<(&'p str, &'p [Id])> {
    let Value::Call { callable, arguments } = pickle.value(value) else { return None };
    let Value::Global { module: "torch._utils" | "torch._tensor", name } = pickle.value(*callable) else { return None };
    Some((*name, pickle.sequence(*arguments)?))
}

/// Reads storage, offset, shape and strides from the arguments. Returns `None` for invalid arguments, and `Err` for a
/// number type that is not supported.
fn place<'a>(pickle: &Pickle<'a>, arguments: &[Id]) -> Option<Result<Place<'a>, ()>> {
    let [storage, offset, dims, strides, ..] = arguments else { return None };
    let Value::Persistent(storage) = pickle.value(*storage) else { return None };
    let [_, kind, key, ..] = pickle.sequence(*storage)? else { return None };
    let Value::Global { name: kind, .. } = pickle.value(*kind) else { return None };
    let dtype = match *kind {
        "FloatStorage" => DType::F32,
        "DoubleStorage" => DType::F64,
        "HalfStorage" => DType::F16,
        "BFloat16Storage" => DType::BF16,
        "ByteStorage" => DType::U8,
        "LongStorage" => DType::I64,
        _ => return Some(Err(())),
    };
    let counts = |id: Id| pickle.sequence(id)?.iter().map(|&id| pickle.count(id)).collect::<Option<Vec<usize>>>();
    let (dims, strides) = (counts(*dims)?, counts(*strides)?);
    let storage = pickle.text(*key)?;
    (dims.len() == strides.len()).then_some(Ok(Place { storage, dtype, offset: pickle.count(*offset)?, dims, strides }))
}

impl Place<'_> {
    /// Returns how many numbers the tensor has; `None` if the number overflows.
    fn elements(&self) -> Option<usize> {
        // If a dimension is 0, the other dimensions must not overflow either: later code multiplies them.
        self.dims.iter().try_fold(1usize, |product, &size| product.checked_mul(size.max(1)))?;
        Some(self.dims.iter().product())
    }

    /// Returns the distance from the first to the last number; `None` if it overflows.
    fn reach(&self) -> Option<usize> {
        let mut steps =
            self.dims.iter().zip(&self.strides).map(|(size, stride)| size.saturating_sub(1).checked_mul(*stride));
        steps.try_fold(0usize, |sum, step| sum.checked_add(step?))
    }

    /// Whether the numbers are contiguous and in order.
    fn is_contiguous(&self) -> bool {
        let mut expected = 1;
        self.dims.iter().zip(&self.strides).rev().all(|(&size, &stride)| {
            let fits = size == 1 || stride == expected;
            expected *= size;
            fits
        })
    }

    /// Returns the numbers in order. `bytes` is the part of the storage from the first to the last number.
    fn gathered(&self, bytes: Vec<u8>, elements: usize) -> Vec<u8> {
        if self.is_contiguous() {
            return bytes;
        }
        let width = self.dtype.size_in_bytes();
        let mut gathered = Vec::with_capacity(elements * width);
        for element in 0..elements {
            let (mut rest, mut at) = (element, 0);
            for (size, stride) in self.dims.iter().zip(&self.strides).rev() {
                at += rest % size * stride;
                rest /= size;
            }
            gathered.extend_from_slice(&bytes[at * width..][..width]);
        }
        gathered
    }
}

struct Archive {
    zip: ZipArchive<BufReader<File>>,
    /// Path of the pickle without its extension. This is also the folder of the storages.
    folder: String,
    size: u64,
    /// Number of bytes that tensors may still take.
    left: u64,
}

impl Archive {
    fn open(file: File, size: u64) -> Result<Self, String> {
        let zip = ZipArchive::new(BufReader::new(file)).map_err(|e| e.to_string())?;
        let mut pickles = zip.file_names().flatten().filter_map(|name| Some(name.strip_suffix(".pkl")?.to_owned()));
        let folder = pickles.find(|name| name == "data" || name.ends_with("/data"));
        drop(pickles);
        let folder = folder.ok_or("it contains no data.pkl; save a state dict with torch.save")?;
        Ok(Self { zip, folder, size, left: size.saturating_mul(MOST_SHARING) })
    }

    fn pickle(&mut self) -> Result<Vec<u8>, String> {
        let name = format!("{}.pkl", self.folder);
        let entry = self.zip.by_name_seek(&name).map_err(|e| e.to_string())?;
        let size = entry.size();
        if size > pickle::MOST_BYTES.min(self.size) {
            return Err(format!("its pickle is too large: {size} bytes"));
        }
        exactly(entry, size)
    }

    fn tensor(&mut self, place: &Place<'_>) -> Result<Tensor, String> {
        let Some((elements, reach)) = place.elements().zip(place.reach()) else { return Err(TOO_MUCH.to_owned()) };
        let width = place.dtype.size_in_bytes() as u64;
        let bytes = |numbers: usize| (numbers as u64).checked_mul(width);
        let span = if elements == 0 { 0 } else { bytes(reach.saturating_add(1)).ok_or(TOO_MUCH)? };
        let first = bytes(place.offset).ok_or(TOO_MUCH)?;
        let cost = bytes(elements).map(|bytes| bytes.max(span)).ok_or(TOO_MUCH)?;
        self.left = self.left.checked_sub(cost).ok_or(TOO_MUCH)?;

        let mut storage =
            self.zip.by_name_seek(&format!("{}/{}", self.folder, place.storage)).map_err(|e| e.to_string())?;
        if first.checked_add(span).is_none_or(|end| end > storage.size().min(self.size)) {
            return Err(format!("it does not fit into its storage of {} bytes", storage.size()));
        }
        storage.seek(SeekFrom::Start(first)).map_err(|e| e.to_string())?;
        let numbers = place.gathered(exactly(storage, span)?, elements);
        Tensor::from_raw_buffer(&numbers, place.dtype, &place.dims, &Device::Cpu).map_err(|e| e.to_string())
    }
}

/// Reads exactly `count` bytes. The caller has checked `count` against the size of the file.
fn exactly(source: impl Read, count: u64) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    source.take(count).read_to_end(&mut bytes).map_err(|e| e.to_string())?;
    if bytes.len() as u64 != count { Err("the file ends too early".to_owned()) } else { Ok(bytes) }
}
