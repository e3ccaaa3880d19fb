//! The example, used as its page says: a plan, a sweep that is continued, and messages that know the new keys.

#![expect(clippy::unwrap_used, reason = "tests may panic")]

use std::path::Path;
use std::process::{Command, Output};

const SPEC: &str = "experiments/own_block.toml";

fn run(words: &str, folder: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_own-block"));
    command.args(words.split_whitespace()).current_dir(env!("CARGO_MANIFEST_DIR"));
    command.env("REPMLP_SWEEP_RESULTS", folder.join("results")).env("REPMLP_SWEEP_REPORTS", folder.join("reports"));
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn the_own_block_is_swept_beside_the_built_in_ones() {
    let folder = tempfile::tempdir().unwrap();
    let first = run(&format!("{SPEC} --profile smoke --limit 2"), folder.path());
    assert_eq!(first.status.code(), Some(5), "two runs remain: {}", text(&first.stderr));
    let sweep = run(&format!("{SPEC} --profile smoke"), folder.path());
    // Each run checks that its deployed form computes the same as its training form.
    assert_eq!(sweep.status.code(), Some(0), "{}", text(&sweep.stderr));
    assert!(text(&sweep.stderr).contains("2 of 4 runs to do, 2 done and reused"), "{}", text(&sweep.stderr));
    assert!(text(&sweep.stdout).contains("gating, 4 matrices"), "{}", text(&sweep.stdout));
    assert!(folder.path().join("reports/own_block/smoke/accuracy_against_flops.svg").exists());
}

#[test]
fn the_account_counts_what_is_built() {
    let folder = tempfile::tempdir().unwrap();
    let plan = run(&format!("plan {SPEC} --json"), folder.path());
    let plan: serde_json::Value = serde_json::from_slice(&plan.stdout).unwrap();
    let params = |block: &str| {
        let is_it = |run: &&serde_json::Value| run["coordinates"]["block"] == block;
        plan["runs"].as_array().unwrap().iter().find(is_it).unwrap()["params"].as_u64().unwrap()
    };
    // Six blocks on maps of 32, 16 and 8 pixels a side: one more group has one more matrix and one more bias.
    let matrices: u64 = [32_u64, 16, 8].iter().map(|side| 2 * (side.pow(4) + 1)).sum();
    assert_eq!(params("gating, 4 matrices") - params("gating, 1 matrix"), 3 * matrices);
}

#[test]
fn messages_and_schema_know_the_new_keys() {
    let folder = tempfile::tempdir().unwrap();
    let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../experiments/base/pure-mlp.toml");
    for (block, told) in [
        (r#"{ kind = "spatial-gatin", groups = 1 }"#, "did you mean `spatial-gating`?"),
        (r#"{ kind = "spatial-gating", group = 1 }"#, "did you mean `groups`?"),
        (r#"{ kind = "spatial-gating", groups = "1" }"#, "a whole number is expected"),
        (r#"{ kind = "spatial-gating", groups = 3 }"#, "3 groups do not divide 8 channels"),
    ] {
        let spec = folder.path().join("x.toml");
        let base = base.display();
        let experiment = format!("question = \"?\"\nbase = \"{base}\"\n[overlay]\nmodel.block = {block}\n");
        std::fs::write(&spec, experiment).unwrap();
        let plan = run(&format!("plan {}", spec.display()), folder.path());
        let message = text(&plan.stderr);
        assert_eq!(plan.status.code(), Some(3), "{message}");
        assert!(message.contains(told) && message.contains("x.toml:4:"), "{message}");
    }
    let network = folder.path().join("network.toml");
    let model =
        "kind = \"cifar-net\"\nwidths = [4, 4, 4]\nhidden = 8\nblock = { kind = \"spatial-gating\", groups = 2 }\n";
    std::fs::write(&network, format!("task = {{ channels = 1, image = [32, 32], classes = 10 }}\n[model]\n{model}"))
        .unwrap();
    let counted = run(&format!("count {} --layers", network.display()), folder.path());
    assert!(text(&counted.stdout).contains("stages.0.0.mix"), "{}", text(&counted.stderr));
    let schema = run("schema base", folder.path());
    let schema: serde_json::Value = serde_json::from_slice(&schema.stdout).unwrap();
    let kinds = schema["definitions"]["BlockConfig"]["oneOf"].as_array().unwrap();
    let own = kinds.iter().find(|kind| kind["properties"]["kind"]["const"] == "spatial-gating").unwrap();
    assert!(own["properties"]["groups"]["description"].as_str().unwrap().starts_with("Number of groups"));
}
