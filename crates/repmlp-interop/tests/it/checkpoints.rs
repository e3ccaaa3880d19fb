//! Files in PyTorch's formats.

use std::path::{Path, PathBuf};

use repmlp_interop::read_checkpoint;

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/checkpoints").join(name)
}

/// The file `tests/checkpoints/README.md` describes how the checkpoint was made.
#[test]
fn a_nested_state_dict_is_found_and_its_prefix_removed() {
    let tensors = read_checkpoint(&file("nested.pth.tar")).unwrap();
    let names: Vec<&str> = tensors.keys().map(String::as_str).collect();
    assert_eq!(names, ["bn.num_batches_tracked", "fc.bias", "fc.weight"]);
    assert_eq!(tensors["fc.weight"].to_vec2::<f32>().unwrap(), [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]);
    // This tensor is a view that begins at the second number of its storage.
    assert_eq!(tensors["fc.bias"].to_vec1::<f64>().unwrap(), [0.5, 0.25]);
    assert_eq!(tensors["bn.num_batches_tracked"].to_scalar::<i64>().unwrap(), 7);
}

#[test]
fn files_that_are_not_checkpoints_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let written = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        read_checkpoint(&path).unwrap_err().to_string().replace(&folder.path().display().to_string(), "DIR")
    };
    assert!(written("old.pth", b"\x80\x02\x8a\x0a").contains("save it again with PyTorch 1.6 or later"));
    assert!(written("empty.pth", b"").contains("DIR/empty.pth holds no tensors that can be read"));
    assert!(written("cut.pt", b"PK\x03\x04 and no more").contains("DIR/cut.pt holds no tensors"));
    assert!(written("cut.safetensors", b"\x08\0\0\0\0\0\0\0{").contains("DIR/cut.safetensors holds no tensors"));
    let gone = read_checkpoint(&folder.path().join("gone.pth")).unwrap_err().to_string();
    assert!(gone.ends_with("gone.pth cannot be read"), "{gone}");
}
