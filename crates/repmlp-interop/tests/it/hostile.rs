//! Malicious files with wrong sizes: each is refused with a reason, quickly and with little memory.
//!
//! The tests run in a child process with limited memory. A larger allocation aborts it.

use std::io::{Cursor, Write};
use std::path::Path;
use std::process::Command;

use repmlp_interop::read_checkpoint;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// Address space of the child process in kB.
const MEMORY_KB: u32 = 300_000;

/// Returns `true` in the child process. Otherwise runs the test `name` in a child process, checks that it passes, and
/// returns `false`.
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

/// Returns a `torch.save` archive with this pickle and one storage.
fn archive(pickle: &[u8], storage: &[u8]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for (name, content) in [("archive/data.pkl", pickle), ("archive/data/0", storage)] {
        zip.start_file(name, stored).unwrap();
        zip.write_all(content).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// Returns a pickled state dict with one f32 tensor `w`, as PyTorch writes it.
fn one_tensor(offset: &[u8], dims: &[u8], strides: &[u8]) -> Vec<u8> {
    let storage = b"(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuK\x06tQ";
    [
        b"\x80\x02}(X\x01\0\0\0wctorch._utils\n_rebuild_tensor_v2\n(".as_slice(),
        storage,
        offset,
        dims,
        strides,
        b"\x89ccollections\nOrderedDict\n)RtRu.",
    ]
    .concat()
}

fn read(folder: &Path, name: &str, bytes: &[u8]) -> Result<Vec<Vec<f32>>, String> {
    let path = folder.join(name);
    std::fs::write(&path, bytes).unwrap();
    let numbers = |tensor: &candle_core::Tensor| {
        let tensor = tensor.to_dtype(candle_core::DType::F32)?;
        tensor.flatten_all()?.to_vec1::<f32>()
    };
    let tensors = read_checkpoint(&path).map_err(|fault| fault.to_string())?;
    Ok(tensors.values().map(|tensor| numbers(tensor).unwrap()).collect())
}

#[test]
fn archives_that_claim_too_much_are_refused() {
    if !is_limited_child("hostile::archives_that_claim_too_much_are_refused") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let storage: Vec<u8> = (1..=6u8).flat_map(|value| f32::from(value).to_le_bytes()).collect();
    let of = |pickle: &[u8]| read(folder.path(), "w.pth", &archive(pickle, &storage));
    let fault = |pickle: &[u8]| of(pickle).unwrap_err();

    let (two_by_three, rows) = (b"K\x02K\x03\x86", b"K\x03K\x01\x86");
    assert_eq!(of(&one_tensor(b"K\0", two_by_three, rows)).unwrap(), [[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]]);
    assert_eq!(of(&one_tensor(b"K\0", two_by_three, b"K\x01K\x02\x86")).unwrap(), [[1.0, 3.0, 5.0, 2.0, 4.0, 6.0]]);
    assert_eq!(of(&one_tensor(b"K\x04", b"K\x02\x85", b"K\x01\x85")).unwrap(), [[5.0, 6.0]]);
    assert_eq!(of(&one_tensor(b"K\x02", b")", b")")).unwrap(), [[3.0]]);

    assert!(fault(&one_tensor(b"K\x01", two_by_three, rows)).contains("does not fit into its storage of 24 bytes"));
    let large = b"\x8a\x06\0\0\0\0\0\x01";
    let huge = [large.as_slice(), large, b"\x86"].concat();
    assert!(fault(&one_tensor(b"K\0", &huge, rows)).contains("more numbers than the file can hold"));
    // One number, repeated a billion times by a stride of zero.
    assert!(fault(&one_tensor(b"K\0", b"J\0\0\0\x40\x85", b"K\0\x85")).contains("more numbers than the file can hold"));
    assert!(fault(&one_tensor(large, b"K\x01\x85", b"K\x01\x85")).contains("does not fit into"));
    // No numbers, but the product of the other dimensions overflows.
    let none = [large.as_slice(), large, b"K\0\x87"].concat();
    assert!(fault(&one_tensor(b"K\0", &none, b"K\0K\0K\0\x87")).contains("more numbers than the file can hold"));
    assert!(fault(&one_tensor(b"J\xff\xff\xff\xff", two_by_three, rows)).contains("does not say where"));
    assert!(fault(b"\x80\x02}(X\x01\0\0\0wctorch._utils\n_rebuild_tensor_v2\n)Ru.").contains("does not say where"));

    assert!(fault(b"\x80\x02X\xff\xff\xff\xffabc").contains("its pickle is damaged: it ends too early"));
    let nested = [b"\x80\x02".to_vec(), b"(".repeat(2_000_000), b"t".repeat(2_000_000), b".".to_vec()].concat();
    assert!(fault(&nested).contains("it has no tensors"));
    let in_ones = [b"\x80\x02)".to_vec(), b"\x85".repeat(2_000_000), b".".to_vec()].concat();
    assert!(fault(&in_ones).contains("it has no tensors"));
    let laughs: Vec<u8> =
        (0..60u8).flat_map(|i| [vec![b'('], [b'h', i].repeat(10), vec![b't', b'q', i + 1]].concat()).collect();
    assert!(fault(&[b"\x80\x02Nq\0".as_slice(), &laughs, b"."].concat()).contains("it has no tensors"));
    assert!(fault(&vec![b'N'; 9 << 20]).contains("its pickle is too large: 9437184 bytes"));
}

#[test]
fn headers_of_safetensors_that_claim_too_much_are_refused() {
    if !is_limited_child("hostile::headers_of_safetensors_that_claim_too_much_are_refused") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file =
        |length: u64, header: &str| [length.to_le_bytes().to_vec(), header.as_bytes().to_vec(), vec![0; 4]].concat();
    let fault = |bytes: &[u8]| read(folder.path(), "w.safetensors", bytes).unwrap_err();
    let tensor =
        |dims: &str, end: &str| format!(r#"{{"w":{{"dtype":"F32","shape":[{dims}],"data_offsets":[0,{end}]}}}}"#);
    let whole = tensor("1", "4");
    assert_eq!(read(folder.path(), "w.safetensors", &file(whole.len() as u64, &whole)).unwrap(), [[0.0]]);
    for length in [0, 1, 1 << 20, 1 << 40, u64::MAX] {
        fault(&file(length, &whole));
    }
    for (dims, end) in [
        ("1073741824", "4294967296"),
        ("4294967296,4294967296,4294967296", "4"),
        ("0,4294967296,4294967296", "4"),
        ("1", "18446744073709551615"),
    ] {
        let header = tensor(dims, end);
        fault(&file(header.len() as u64, &header));
    }
    let deep = "[".repeat(1_000_000);
    fault(&file(deep.len() as u64, &deep));
}

/// The generator `SplitMix64`. It gives the same mutations on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }

    /// Returns the bytes with one to four changes: a random byte, extreme values, a truncation, or a removed or
    /// repeated piece.
    fn mutated(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        for _ in 0..=self.below(4) {
            let at = self.below(bytes.len());
            let end = (at + 1 + self.below(16)).min(bytes.len());
            match self.below(6) {
                0 | 1 if at < bytes.len() => bytes[at] = self.next() as u8,
                2 => bytes[at..end].fill([0, 0xff, 0x7f, 0x80][self.below(4)]),
                3 => bytes.truncate(at),
                4 => drop(bytes.drain(at..end)),
                _ => bytes = [&bytes[..end], &bytes[at..]].concat(),
            }
        }
        bytes
    }
}

#[test]
fn mutated_files_are_read_or_refused() {
    if !is_limited_child("hostile::mutated_files_are_read_or_refused") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let checkpoints = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let pth = std::fs::read(checkpoints.join("checkpoints/nested.pth.tar")).unwrap();
    let safetensors = std::fs::read(checkpoints.join("parity/block_square.safetensors")).unwrap();
    // Change the length and the header only: the numbers after them are not interpreted.
    let header = 8 + u64::from_le_bytes(safetensors[..8].try_into().unwrap()) as usize;
    let mut random = Random(1);
    let mut refused = 0;
    for i in 0..600 {
        let (name, bytes) = match i % 3 {
            0 => {
                let mut bytes = random.mutated(&safetensors[..header]);
                bytes.extend_from_slice(&safetensors[header..]);
                ("w.safetensors", bytes)
            }
            _ => ("w.pth", random.mutated(&pth)),
        };
        refused += usize::from(read(folder.path(), name, &bytes).is_err());
    }
    assert!((200..600).contains(&refused), "{refused} of 600 were refused");
}
