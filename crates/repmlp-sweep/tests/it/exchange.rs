//! Tests of the exchange with PyTorch from the command line: reference values, and import and export of weights.

use serde_json::Value;

use crate::bench::{Bench, repository};

fn parity() -> String {
    repository().join("crates/repmlp-interop/tests/parity").display().to_string()
}

#[test]
fn matching_reference_values_pass_and_a_mismatch_gives_exit_code_12() {
    let bench = Bench::new();
    let agreed = bench.done(&format!("verify parity {} --case non_local_unscaled", parity())).stdout();
    assert!(agreed.ends_with("\n10 of 10 checks pass\n"), "{agreed}");
    let json = bench.done(&format!("verify parity {} --case mhsa_rel_pos --dtype f64 --json", parity())).stdout();
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json["passed"], &json["all"]), (&4.into(), &4.into()));
    assert_eq!(json["checks"][3]["what"], "gradients");

    let changed = bench.path("changed");
    std::fs::create_dir(&changed).unwrap();
    let cases = std::fs::read_to_string(format!("{}/cases.json", parity())).unwrap();
    let mut cases: Vec<Value> = serde_json::from_str(&cases).unwrap();
    cases.retain(|case| case["id"] == "non_local_unscaled");
    cases[0]["block"]["scale"] = 0.5.into();
    std::fs::write(changed.join("cases.json"), serde_json::to_string(&cases).unwrap()).unwrap();
    let incomplete = bench.run("verify parity changed");
    assert_eq!(incomplete.code(), 4);
    assert!(incomplete.stderr().contains("changed/non_local_unscaled.safetensors cannot be read"));
    let tensors = "non_local_unscaled.safetensors";
    std::fs::copy(format!("{}/{tensors}", parity()), changed.join(tensors)).unwrap();
    let disagreed = bench.run("verify parity changed --dtype f64");
    assert_eq!(disagreed.code(), 12);
    assert!(disagreed.stdout().ends_with("\n1 of 5 checks pass\n"), "{}", disagreed.stdout());

    assert_eq!(bench.run("verify parity nowhere").code(), 4);
    let unknown = bench.run(&format!("verify parity {} --case block_round", parity()));
    assert_eq!(unknown.code(), 2);
    assert!(unknown.stderr().contains("no case `block_round`; it has block_square"), "{}", unknown.stderr());
}

/// The network of the tiny experiment, as a file for `--model`.
const MODEL: &str = r#"
task = { channels = 1, image = [32, 32], classes = 10 }

[model]
kind   = "cifar-net"
widths = [2, 2, 2]
hidden = 8
block  = { kind = "rep-mlp", partition = [8, 8], groups = 1, local_kernels = [1, 3] }
"#;

#[test]
fn weights_of_a_run_are_exported_in_both_forms_and_imported_again() {
    let bench = Bench::new();
    bench.done("experiments/tiny.toml");
    let plan: Value = serde_json::from_str(&bench.done("plan experiments/tiny.toml --json").stdout()).unwrap();
    let run = &plan["runs"][0]["run"].as_str().unwrap()[..12];
    std::fs::write(bench.path("tiny-model.toml"), MODEL).unwrap();

    let out = bench.done(&format!("weights export {run} --form training --out trained.safetensors"));
    assert!(out.stdout().contains("of the training form written to trained.safetensors"), "{}", out.stdout());
    let trained = bench.done("weights import trained.safetensors --model tiny-model.toml").stdout();
    assert!(trained.contains("training form") && trained.contains("missing: 0\nleft over: 0\n"), "{trained}");

    bench.done("weights export trained.safetensors --model tiny-model.toml --out merged.safetensors");
    let merged =
        bench.done("weights import merged.safetensors --model tiny-model.toml --out kept.safetensors").stdout();
    assert!(merged.contains("deployed form") && merged.contains("missing: 0\nleft over: 0\n"), "{merged}");
    assert!(bench.path("kept.safetensors").exists());

    let apart = bench.run("weights export merged.safetensors --model tiny-model.toml --form training --out x");
    assert_eq!(apart.code(), 2);
    assert!(apart.stderr().contains("cannot be converted back to its training form"), "{}", apart.stderr());
    let foreign = bench.run("weights import trained.safetensors --model resnet50 --out never.safetensors");
    assert_eq!(foreign.code(), 4);
    assert!(foreign.stdout().contains("missing: 267") && !bench.path("never.safetensors").exists());
    assert_eq!(bench.run("weights import gone.pth --model resnet50").code(), 4);

    for (former, now) in [
        ("import trained.safetensors --model tiny-model.toml", "is now `weights import FILE`"),
        ("export 3f9c2a --format safetensors --out x", "are exported by `weights export RUN`"),
    ] {
        let ran = bench.run(former);
        assert_eq!(ran.code(), 2);
        assert!(ran.stderr().contains(now), "{}", ran.stderr());
    }
}

#[test]
fn weights_of_a_run_come_with_a_python_file_and_its_test_images() {
    let bench = Bench::new();
    bench.done("experiments/tiny.toml");
    let plan: Value = serde_json::from_str(&bench.done("plan experiments/tiny.toml --json").stdout()).unwrap();
    let run = &plan["runs"][0]["run"].as_str().unwrap()[..12];
    let out = bench.done(&format!("weights export {run} --images --out net.safetensors")).stdout();
    assert!(out.contains("the network in PyTorch written to net.py\n"), "{out}");
    assert!(out.contains("written to net.images.safetensors; `python net.py` evaluates them\n"), "{out}");
    let text = std::fs::read_to_string(bench.path("net.py")).unwrap();
    for word in ["\"weights\": \"net.safetensors\"", "\"Ankle boot\"", "\"layer\": \"rep-mlp\"", "\"accuracy\": 0."] {
        assert!(text.contains(word), "{word} in {text}");
    }
    let images = std::fs::read(bench.path("net.images.safetensors")).unwrap();
    let header = String::from_utf8_lossy(&images[8..400]).into_owned();
    assert!(header.contains("\"images\":{\"dtype\":\"U8\",\"shape\":[32,1,32,32]"), "{header}");
    assert!(header.contains("\"predicted\":{\"dtype\":\"U32\",\"shape\":[32]"), "{header}");

    // The program replaces its own file, and nobody else's.
    bench.done(&format!("weights export {run} --out net.safetensors"));
    std::fs::write(bench.path("net.py"), "mine").unwrap();
    let refused = bench.run(&format!("weights export {run} --out net.safetensors"));
    assert_eq!(refused.code(), 2);
    assert!(refused.stderr().contains("net.py was not written by this program"), "{}", refused.stderr());
    assert_eq!(std::fs::read_to_string(bench.path("net.py")).unwrap(), "mine");
    let torchvision = bench.run(&format!("weights export {run} --naming torchvision --images --out other.safetensors"));
    assert_eq!(torchvision.code(), 2);
    assert!(!bench.path("other.safetensors").exists());
}

#[test]
fn a_network_is_given_by_name_or_by_file() {
    let bench = Bench::new();
    let counted = bench.done("count").stdout();
    assert!(counted.ends_with("\n68 of 68 printed values match\n"), "{counted}");
    let layers = bench.done("count efficientnet-b1 --layers").stdout();
    assert!(layers.contains("features.1.0.block.1.fc1") && layers.contains("8x32x1x1"), "{layers}");
    let unknown = bench.run("count resnet5");
    assert_eq!(unknown.code(), 2);
    assert!(unknown.stderr().contains("`resnet5`") && unknown.stderr().contains("resnet50"), "{}", unknown.stderr());
    std::fs::write(bench.path("bad.toml"), MODEL.replace("groups = 1", "groups = 4")).unwrap();
    let bad = bench.run("count bad.toml");
    assert_eq!(bad.code(), 3);
    assert!(bad.stderr().contains("4 groups do not divide 2 channels"), "{}", bad.stderr());
}

#[test]
fn fc3_of_a_run_is_drawn_before_and_after_merging() {
    let bench = Bench::new();
    bench.done("experiments/tiny.toml");
    let plan: Value = serde_json::from_str(&bench.done("plan experiments/tiny.toml --json").stdout()).unwrap();
    let run = &plan["runs"][0]["run"].as_str().unwrap()[..12];
    let told = bench.done(&format!("weights figure {run} --point 1,6,5 --out figure")).stdout();
    assert!(told.contains("viewed as (2,8,8,2,8,8), slice [1,6,5,0,:,:]"), "{told}");
    assert!(told.contains("figure/fc3.svg") && told.contains("8.3") && told.contains("5.7 to 6.3"), "{told}");
    let svg = std::fs::read_to_string(bench.path("figure/fc3.svg")).unwrap();
    assert!(svg.contains("before merging") && svg.contains("after merging") && svg.contains("ln(|w| / min |w|)"));
    assert!(std::fs::read(bench.path("figure/fc3.pdf")).unwrap().starts_with(b"%PDF"));
    let table = std::fs::read_to_string(bench.path("figure/fc3.csv")).unwrap();
    assert_eq!(table.lines().count(), 1 + 8 * 8);
    let again = bench.done(&format!("weights figure {run} --point 1,6,5 --out again"));
    assert_eq!(again.code(), 0);
    for file in ["fc3.svg", "fc3.png", "fc3.pdf", "fc3.csv"] {
        let bytes = |folder: &str| std::fs::read(bench.path(folder).join(file)).unwrap();
        assert_eq!(bytes("figure"), bytes("again"), "{file}");
    }
    for (call, told) in [
        (format!("weights figure {run} --layer stage9 --out x"), "named `stage9`; the network has "),
        (format!("weights figure {run} --point 0,8,0 --out x"), "a row from 0 to 7"),
        (format!("weights figure {run} --point 0,8 --out x"), "each counted from 0: 0,6,6"),
    ] {
        let refused = bench.run(&call);
        assert_eq!(refused.code(), 2);
        assert!(refused.stderr().contains(told), "{}", refused.stderr());
    }
    let plain = MODEL.replace(
        "kind = \"rep-mlp\", partition = [8, 8], groups = 1, local_kernels = [1, 3]",
        "kind = \"conv\", kernel = 3, groups = 1",
    );
    std::fs::write(bench.path("plain.toml"), plain).unwrap();
    std::fs::write(bench.path("tiny-model.toml"), MODEL).unwrap();
    bench.done(&format!("weights export {run} --out merged.safetensors"));
    let merged = bench.run("weights figure merged.safetensors --model tiny-model.toml --out x");
    assert_eq!(merged.code(), 2);
    assert!(merged.stderr().contains("these weights are merged"), "{}", merged.stderr());
    let foreign = bench.run("weights figure merged.safetensors --model plain.toml --out x");
    assert_eq!(foreign.code(), 4, "the weights are those of another network");
}
