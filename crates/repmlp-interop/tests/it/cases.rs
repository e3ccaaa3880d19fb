//! Damaged and impossible cases: each error names the file, the case and the key.

use std::path::Path;

use candle_core::Device;
use repmlp_interop::{Precision, check, read_cases};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::parity;

/// Copies the case `id` of this repository into a new folder, and changes some keys.
fn changed(id: &str, changes: &[(&str, Value)]) -> TempDir {
    let text = std::fs::read_to_string(parity::folder().join("cases.json")).unwrap();
    let cases: Vec<Value> = serde_json::from_str(&text).unwrap();
    let mut case = cases.into_iter().find(|case| case["id"] == id).unwrap();
    for (pointer, value) in changes {
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        let parent = case.pointer_mut(parent).unwrap().as_object_mut().unwrap();
        if value.is_null() {
            parent.remove(key);
        } else {
            parent.insert(key.to_owned(), value.clone());
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let file = case["file"].as_str().unwrap();
    let tensors = parity::folder().join(file);
    if tensors.exists() {
        std::fs::copy(tensors, folder.path().join(file)).unwrap();
    }
    std::fs::write(folder.path().join("cases.json"), json!([case]).to_string()).unwrap();
    folder
}

fn fault(folder: &Path) -> String {
    let fault = read_cases(folder, None).err().unwrap().to_string();
    fault.replace(&folder.display().to_string(), "DIR")
}

fn fault_of(id: &str, pointer: &str, value: Value) -> String {
    fault(changed(id, &[(pointer, value)]).path())
}

#[test]
fn each_fault_names_its_place() {
    let faults = [
        fault_of("block_square", "/groups", Value::Null),
        fault_of("block_square", "/groups", json!("four")),
        fault_of("block_square", "/groups", json!(3)),
        fault_of("block_square", "/h", json!(5)),
        fault_of("block_square", "/kernels", json!([1, 4])),
        fault_of("block_square", "/kind", json!("convolution")),
        fault_of("mhsa_rel_pos", "/block/family", json!("performer")),
        fault_of("non_local_unscaled", "/block/inner", json!(-8)),
        fault_of("pure_mlp_train", "/schedule", json!("warm-up")),
        fault_of("pure_mlp_train", "/decay_on", json!("weights only")),
        fault_of("pure_mlp_train", "/steps", json!(13)),
        fault_of("pure_mlp_train", "/model/hidden", Value::Null),
        fault_of("pure_mlp_train", "/model/family", json!("vision_transformer")),
    ];
    insta::assert_snapshot!(faults.join("\n"));
}

#[test]
fn files_that_are_missing_or_damaged_are_named() {
    let folder = changed("block_square", &[("/file", json!("nowhere.safetensors"))]);
    assert_eq!(fault(folder.path()), "DIR/nowhere.safetensors cannot be read");

    let folder = changed("block_square", &[]);
    let tensors = folder.path().join("block_square.safetensors");
    let bytes = std::fs::read(&tensors).unwrap();
    std::fs::write(&tensors, &bytes[..bytes.len() / 2]).unwrap();
    let damaged = fault(folder.path());
    assert!(damaged.starts_with("DIR/block_square.safetensors holds no tensors that can be read"), "{damaged}");

    let other = changed("block_square", &[("/file", json!("other.safetensors"))]);
    std::fs::copy(parity::folder().join("mhsa_rel_pos.safetensors"), other.path().join("other.safetensors")).unwrap();
    let wrong =
        check(&read_cases(other.path(), None).unwrap()[0], Precision::F64, &Device::Cpu).unwrap_err().to_string();
    assert!(wrong.contains("case `block_square`") && wrong.contains("pos_embed"), "{wrong}");

    std::fs::write(folder.path().join("cases.json"), "[{").unwrap();
    assert_eq!(fault(folder.path()), "DIR/cases.json is not JSON of the expected form");
    std::fs::remove_file(folder.path().join("cases.json")).unwrap();
    assert!(fault(folder.path()).starts_with("DIR holds no cases"));
    assert_eq!(fault(&folder.path().join("gone")), "DIR cannot be read");
    let unknown = read_cases(&parity::folder(), Some("block_round")).err().unwrap().to_string();
    assert!(unknown.contains("has no case `block_round`; it has block_square, "), "{unknown}");
}

#[test]
fn a_case_is_built_from_its_structure_and_not_from_its_name() {
    let other_notes = [("/id", json!("anything")), ("/note", json!("for people")), ("/batch", Value::Null)];
    let folder = changed("block_square", &other_notes);
    let checks = check(&read_cases(folder.path(), None).unwrap()[0], Precision::F64, &Device::Cpu).unwrap();
    assert!(checks.iter().all(|check| check.passed() && check.case == "anything"));
}

#[test]
fn disagreements_are_found() {
    let failing = |id: &str, changes: &[(&str, Value)]| -> Vec<String> {
        let folder = changed(id, changes);
        let checks = check(&read_cases(folder.path(), None).unwrap()[0], Precision::F64, &Device::Cpu).unwrap();
        checks.iter().filter(|check| !check.passed()).map(|check| check.what.to_string()).collect()
    };
    let names = failing("block_square", &[("/kernels", json!([1, 3]))]);
    assert_eq!(names, ["names and shapes"]);
    let statistics = failing("block_square", &[("/bn_momentum", json!(0.2))]);
    assert_eq!(statistics, ["running statistics"]);
    let scale = failing("non_local_unscaled", &[("/block/scale", json!(0.5))]);
    assert_eq!(scale, ["deployed", "out_eval", "out_train", "gradients"]);
    // Two of the twelve steps: the logits differ from those after twelve steps, but the losses are the same.
    let two_steps = |nesterov: bool| {
        let losses = json!([2.486_953_531_298_439_7, 2.367_149_711_491_576_7]);
        let schedule = json!("lr*0.5*(1+cos(pi*t/12))");
        let changes =
            [("/steps", json!(2)), ("/losses", losses), ("/schedule", schedule), ("/nesterov", json!(nesterov))];
        failing("pure_mlp_train", &changes)
    };
    assert_eq!(two_steps(false), ["logits_after"]);
    assert_eq!(two_steps(true), ["losses", "logits_after"]);
}
