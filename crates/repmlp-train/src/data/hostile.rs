//! Tests with damaged and malicious files. Each file must be read or refused, with little memory and without a panic.
//!
//! The work is done in a child process with limited memory. A child that asks for more memory fails.

use std::io::Write;
use std::path::Path;
use std::process::Command;

use png::{BitDepth, ColorType};

use crate::data::fixture::{folder_with, packed_png, plain_png, png_of, tiny_jpeg, write};
use crate::data::{DataConfig, DataError};

/// Address space of the child process, in kilobytes.
const MEMORY_KB: u32 = 700_000;

/// Returns true in the child process of the test `name`. In the parent process, it runs the child and checks that it
/// succeeds.
fn is_limited_child(name: &str) -> bool {
    const CHILD: &str = "REPMLP_LIMITED_CHILD";
    if std::env::var_os(CHILD).is_some() {
        return true;
    }
    let limited = format!("ulimit -v {MEMORY_KB} && exec \"$@\"");
    let program = std::env::current_exe().unwrap();
    let child = Command::new("sh")
        .args(["-c", &limited, "sh", program.to_str().unwrap(), name, "--exact", "--test-threads=1", "--nocapture"])
        .envs([(CHILD, "1"), ("MALLOC_ARENA_MAX", "1")])
        .output()
        .unwrap();
    let text = [child.stdout, child.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    assert!(child.status.success() && text.contains("1 passed"), "{}: {text}", child.status);
    false
}

fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn idx(sizes: &[u32], bytes: &[u8]) -> Vec<u8> {
    let magic = 0x0800 + sizes.len() as u32;
    let words = std::iter::once(&magic).chain(sizes).flat_map(|word| word.to_be_bytes());
    words.chain(bytes.iter().copied()).collect()
}

/// Reads a data set, and prepares every image for training and evaluation. Fails if any file is refused.
fn is_read(folder: &Path, source: &str) -> Result<(), DataError> {
    let text = format!("image_size = 8\naugment.flip = true\nsource = {{ name = 'own', {source} }}");
    let config: DataConfig = toml::from_str(&text).unwrap();
    config.load(Some(folder), 0)?;
    let data = config.check(Some(folder), 0)?;
    for part in [&data.train, &data.validation, &data.test] {
        let mut batch = data.preparation.batch(1);
        for &image in &part.images {
            data.preparation.append(part.pool.item(image)?, &mut batch);
            let draw = crate::prepare::Draw { seed: 0, epoch: 0, image };
            data.preparation.append_augmented(part.pool.item(image)?, draw, &mut batch);
        }
        assert!(batch.numbers.iter().all(|number| number.is_finite()));
    }
    Ok(())
}

const FOLDERS: &str = "kind = 'image-folder', classes = 2";
const MASKS: &str = "kind = 'masks', classes = 2";
const PEOPLE: &str = "kind = 'identities', identities = 4, held_out = 2";
const IDX: &str = "kind = 'idx', classes = 2";
const RECORDS: &str = "kind = 'records', classes = 2, side = 2, train = ['a.bin'], test = ['b.bin']";

type NamedFiles = Vec<(&'static str, Vec<u8>)>;

/// Returns the files of one set of each kind.
fn sets() -> Vec<(&'static str, NamedFiles)> {
    let noise = |count: u32| (0..count).map(|i| (i * i * 7 % 251) as u8).collect::<Vec<u8>>();
    let palette = (ColorType::Indexed, BitDepth::Four);
    let (images, labels) = (idx(&[4, 2, 2], &noise(16)), idx(&[4], &[0, 1, 1, 0]));
    let records = [vec![1], noise(12), vec![0], noise(12)].concat();
    vec![
        (
            FOLDERS,
            vec![
                ("train/a/0.jpg", tiny_jpeg()),
                ("train/b/0.png", png_of((9, 10), 3, &noise(270))),
                ("val/a/0.png", packed_png((5, 7), (ColorType::Rgba, BitDepth::Sixteen), &noise(280))),
                ("val/b/0.jpg", tiny_jpeg()),
            ],
        ),
        (
            MASKS,
            vec![
                ("train/a.jpg", tiny_jpeg()),
                ("trainannot/a.png", packed_png((8, 16), palette, &[0x01; 64])),
                ("test/b.png", plain_png((3, 5), 7)),
                ("testannot/b.png", plain_png((3, 5), 1)),
            ],
        ),
        (
            PEOPLE,
            vec![
                ("p-images-idx3-ubyte", idx(&[8, 2, 3], &noise(48))),
                ("p-labels-idx1-ubyte", idx(&[8], &[1, 1, 2, 2, 4, 4, 9, 9])),
            ],
        ),
        (
            IDX,
            vec![
                ("train-images-idx3-ubyte.gz", gzipped(&images)),
                ("train-labels-idx1-ubyte", labels.clone()),
                ("test-images-idx3-ubyte", images),
                ("test-labels-idx1-ubyte.gz", gzipped(&labels)),
            ],
        ),
        (RECORDS, vec![("a.bin.gz", gzipped(&records)), ("b.bin", records)]),
    ]
}

/// `SplitMix64`, for the same mutations on every machine.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % limit.max(1) as u64) as usize
    }

    /// Returns the bytes with one to three changes: another byte, extreme numbers, a truncation, a deleted or repeated
    /// piece. Half of the changes are in the first 40 bytes, since headers are there.
    fn mutated(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        for _ in 0..=self.below(3) {
            let reach = if self.below(2) == 0 { bytes.len() } else { bytes.len().min(40) };
            let at = self.below(reach);
            let end = (at + 1 + self.below(8)).min(bytes.len());
            match self.below(6) {
                0 | 1 if at < bytes.len() => bytes[at] = self.below(256) as u8,
                2 => bytes[at..end].fill([0, 0xff, 0x7f, 0x80][self.below(4)]),
                3 => bytes.truncate(at),
                4 => drop(bytes.drain(at..end)),
                _ => bytes = [&bytes[..end], &bytes[at..]].concat(),
            }
        }
        // Most mutants get correct checksums. Otherwise a PNG would be refused before its content is looked at.
        if self.below(4) > 0 { with_checksums(bytes) } else { bytes }
    }
}

/// Corrects the checksums of all complete chunks of a PNG. Other bytes are returned unchanged.
fn with_checksums(mut bytes: Vec<u8>) -> Vec<u8> {
    let mut at = 8;
    while bytes.starts_with(b"\x89PNG")
        && let Some(length) = bytes.get(at..at + 4).map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]) as usize)
        && let Some(chunk) = bytes.get(at + 4..at + 8 + length)
    {
        let mut sum = flate2::Crc::new();
        sum.update(chunk);
        let sum = sum.sum().to_be_bytes();
        let Some(place) = bytes.get_mut(at + 8 + length..at + 12 + length) else { break };
        place.copy_from_slice(&sum);
        at += 12 + length;
    }
    bytes
}

#[test]
fn mutated_files_are_read_or_refused() {
    if !is_limited_child("data::hostile::mutated_files_are_read_or_refused") {
        return;
    }
    let sets: Vec<_> = sets().into_iter().map(|(source, files)| (folder_with(&files), source, files)).collect();
    for (folder, source, _) in &sets {
        is_read(folder.path(), source).unwrap();
    }
    let mut random = Random(1);
    let (rounds, mut refused) = (1000, 0);
    for round in 0..rounds {
        let (folder, source, files) = &sets[round % sets.len()];
        let (name, bytes) = &files[random.below(files.len())];
        write(folder.path(), name, &random.mutated(bytes));
        if let Err(fault) = is_read(folder.path(), source) {
            assert!(!matches!(fault, DataError::Loader { .. }), "{name}: {fault}");
            refused += 1;
        }
        write(folder.path(), name, bytes);
    }
    assert!((rounds / 3..rounds).contains(&refused), "{refused} of {rounds} were refused");
}

/// Returns a PNG with this size in its header and without enough pixel data.
fn claiming_png(height: u32, width: u32) -> Vec<u8> {
    let mut png = plain_png((1, 1), 0);
    png[16..20].copy_from_slice(&width.to_be_bytes());
    png[20..24].copy_from_slice(&height.to_be_bytes());
    png.resize(110_000, 0);
    with_checksums(png)
}

#[test]
fn files_that_claim_too_much_are_refused() {
    if !is_limited_child("data::hostile::files_that_claim_too_much_are_refused") {
        return;
    }
    let fault = |source: &str, name: &str, bytes: &[u8]| {
        let files = sets().into_iter().find(|(kind, _)| *kind == source).unwrap().1;
        let folder = folder_with(&files);
        write(folder.path(), name, bytes);
        is_read(folder.path(), source).unwrap_err().to_string()
    };
    let text = fault(FOLDERS, "val/b/0.jpg", &claiming_png(30_000, 30_000));
    assert!(
        text.ends_with(
            "has 30000x30000 pixels, more than 67108864 (data.pixel_limit): raise the limit if this is intended"
        ),
        "{text}"
    );
    let text = fault(MASKS, "testannot/b.png", &claiming_png(u32::MAX >> 1, u32::MAX >> 1));
    assert!(text.contains("(data.pixel_limit)"), "{text}");
    let most = u32::MAX;
    for (source, name) in [(IDX, "test-images-idx3-ubyte"), (PEOPLE, "p-images-idx3-ubyte")] {
        for sizes in [[most, most, most], [4, most, 1], [1 << 20, 1 << 10, 1 << 10]] {
            for bytes in [idx(&sizes, &[7; 99]), gzipped(&idx(&sizes, &[7; 99]))] {
                let text = fault(source, name, &bytes);
                assert!(text.contains("is damaged: expected 16 bytes of header and"), "{text}");
            }
        }
    }
    let bomb = gzipped(&vec![0; 80 << 20]);
    let text = fault(RECORDS, "b.bin", &bomb);
    assert!(
        text.ends_with("unpacks to more than 67108864 bytes, over 100 times its size: it is not a file of images"),
        "{text}"
    );
}

#[test]
fn devices_and_pipes_are_refused_at_once() {
    let refused = |source: &str, name: &str, replace: &dyn Fn(&Path)| {
        let files = sets().into_iter().find(|(kind, _)| *kind == source).unwrap().1;
        let folder = folder_with(&files);
        let path = folder.path().join(name);
        std::fs::remove_file(&path).unwrap();
        replace(&path);
        let fault = is_read(folder.path(), source).unwrap_err();
        format!("{fault}: {}", std::error::Error::source(&fault).unwrap())
    };
    let device = |path: &Path| std::os::unix::fs::symlink("/dev/zero", path).unwrap();
    let pipe = |path: &Path| assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
    for (source, name) in [
        (RECORDS, "b.bin"),
        (IDX, "test-images-idx3-ubyte"),
        (IDX, "train-labels-idx1-ubyte"),
        (FOLDERS, "train/b/0.png"),
        (MASKS, "trainannot/a.png"),
    ] {
        let text = refused(source, name, &device);
        assert!(text.ends_with(&format!("{name} cannot be read: it is a device, not a file")), "{text}");
        let text = refused(source, name, &pipe);
        assert!(text.ends_with(&format!("{name} cannot be read: it is a pipe, not a file")), "{text}");
    }
}
