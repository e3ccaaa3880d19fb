//! Expands one experiment that uses every construct, and smaller ones.

use std::fmt::Write as _;

use insta::assert_snapshot;
use sweep_plan::Plan;

use crate::bench::{Bench, accept};

const EVERYTHING: &str = r#"
question = "Does everything work together?"
base     = "middle.toml"
overlay  = { training.epochs = 5 }
seeds    = 2
baseline = { rate = "0.1", network = "grouped" }

[[axis]]
name   = "rate"
path   = "training.optimizer.rate"
values = [0.1, 0.05]

[[grid]]
overlay = { model.kernels = [] }
[[grid.axis]]
name = "network"
[grid.axis.points.grouped]
[grid.axis.points.wide]
model = { width = 128, groups = 4 }

[[grid]]
[[grid.axis]]
name = "size"
zip  = { "model.width" = [32, 64], "model.groups" = [1, 2] }
labels = ["small", "medium"]

[[exclude]]
where  = { rate = "0.05", network = ["wide"] }
reason = "known to diverge"

[[include]]
coordinates = { rate = "0.05", network = "convolution" }
overlay     = { model = { kind = "convolution", width = 64, groups = 1 } }

[profile.quick]
overlay  = { training = { epochs = 1, optimizer = { kind = "adam", rate = 0.2 } } }
seeds    = [7]
points   = { rate = [0.05, 1e-3], size = ["medium"] }
baseline = { rate = "0.001" }

[limits]
max_runs = 20
"#;

fn bench() -> Bench {
    let bench = Bench::new();
    bench.write("middle.toml", "base = \"base.toml\"\n[training]\nepochs = 20\n");
    bench
}

fn written(plan: &Plan) -> String {
    let mut text = String::new();
    writeln!(text, "{} {}: {}", plan.experiment, plan.profile, plan.question).unwrap();
    writeln!(text, "baseline {}; seeds {:?}", plan.baseline, plan.seeds).unwrap();
    for axis in &plan.axes {
        writeln!(text, "axis {}: {}", axis.name, axis.labels.join(" ")).unwrap();
    }
    for run in &plan.runs {
        writeln!(text, "{} {}/{} {}", run.id.short(), run.configuration, run.seed, run.coordinates).unwrap();
    }
    for (at, configuration) in plan.configurations.iter().enumerate() {
        writeln!(text, "{at} {configuration}").unwrap();
    }
    for exclusion in &plan.exclusions {
        writeln!(text, "without {}: {}", exclusion.coordinates, exclusion.reason).unwrap();
    }
    for merged in &plan.merged {
        writeln!(text, "{} is {}", merged.coordinates, merged.into).unwrap();
    }
    text
}

#[test]
fn every_construct_expands() {
    assert_snapshot!(written(&bench().plan(EVERYTHING, None).unwrap()), @r#"
    x default: Does everything work together?
    baseline rate=0.1 network=grouped; seeds [0, 1]
    axis rate: 0.1 0.05
    axis network: grouped wide convolution
    axis size: small medium
    a15b8e7103 0/0 rate=0.1 network=grouped
    7a4e2ddc15 0/1 rate=0.1 network=grouped
    4da119f4e7 1/0 rate=0.1 network=wide
    f8802bb866 1/1 rate=0.1 network=wide
    dbc9d9fd42 2/0 rate=0.05 network=grouped
    fac85b86b5 2/1 rate=0.05 network=grouped
    e3eaf3fefa 3/0 rate=0.1 size=small
    205727c24b 3/1 rate=0.1 size=small
    4a77dc69a4 4/0 rate=0.1 size=medium
    d4e1c808f6 4/1 rate=0.1 size=medium
    c858bc80db 5/0 rate=0.05 size=small
    50637df8db 5/1 rate=0.05 size=small
    0a5cf7e242 6/0 rate=0.05 size=medium
    49c00299b2 6/1 rate=0.05 size=medium
    fe5bb8069b 7/0 rate=0.05 network=convolution
    8c396ecdbe 7/1 rate=0.05 network=convolution
    0 {"model":{"groups":2,"kernels":[],"kind":"mlp","width":64},"training":{"epochs":5,"optimizer":{"kind":"sgd","momentum":0.9,"rate":0.1}}}
    1 {"model":{"groups":4,"kernels":[],"kind":"mlp","width":128},"training":{"epochs":5,"optimizer":{"kind":"sgd","momentum":0.9,"rate":0.1}}}
    2 {"model":{"groups":2,"kernels":[],"kind":"mlp","width":64},"training":{"epochs":5,"optimizer":{"kind":"sgd","momentum":0.9,"rate":0.05}}}
    3 {"model":{"groups":1,"kernels":[1,3],"kind":"mlp","width":32},"training":{"epochs":5,"optimizer":{"kind":"sgd","momentum":0.9,"rate":0.1}}}
    4 {"model":{"groups":2,"kernels":[1,3],"kind":"mlp","width":64},"training":{"epochs":5,"optimizer":{"kind":"sgd","momentum":0.9,"rate":0.1}}}
    5 {"model":{"groups":1,"kernels":[1,3],"kind":"mlp","width":32},"training":{"epochs":5,"optimizer":{"kind":"sgd","momentum":0.9,"rate":0.05}}}
    6 {"model":{"groups":2,"kernels":[1,3],"kind":"mlp","width":64},"training":{"epochs":5,"optimizer":{"kind":"sgd","momentum":0.9,"rate":0.05}}}
    7 {"model":{"groups":1,"kind":"convolution","width":64},"training":{"epochs":5,"optimizer":{"kind":"sgd","momentum":0.9,"rate":0.05}}}
    without rate=0.05 network=wide: known to diverge
    "#);
}

#[test]
fn a_profile_changes_what_it_names() {
    assert_snapshot!(written(&bench().plan(EVERYTHING, Some("quick")).unwrap()), @r#"
    x quick: Does everything work together?
    baseline rate=0.001; seeds [7]
    axis rate: 0.05 0.001
    axis network: grouped wide convolution
    axis size: medium
    da5b1ce8a7 0/7 rate=0.05 network=grouped
    9cb166a593 1/7 rate=0.001 network=grouped
    d2d5205ee4 2/7 rate=0.001 network=wide
    3d1220af62 3/7 rate=0.05 size=medium
    2a5a4970f7 4/7 rate=0.001 size=medium
    7c445538bf 5/7 rate=0.05 network=convolution
    0 {"model":{"groups":2,"kernels":[],"kind":"mlp","width":64},"training":{"epochs":1,"optimizer":{"kind":"adam","rate":0.05}}}
    1 {"model":{"groups":2,"kernels":[],"kind":"mlp","width":64},"training":{"epochs":1,"optimizer":{"kind":"adam","rate":0.001}}}
    2 {"model":{"groups":4,"kernels":[],"kind":"mlp","width":128},"training":{"epochs":1,"optimizer":{"kind":"adam","rate":0.001}}}
    3 {"model":{"groups":2,"kernels":[1,3],"kind":"mlp","width":64},"training":{"epochs":1,"optimizer":{"kind":"adam","rate":0.05}}}
    4 {"model":{"groups":2,"kernels":[1,3],"kind":"mlp","width":64},"training":{"epochs":1,"optimizer":{"kind":"adam","rate":0.001}}}
    5 {"model":{"groups":1,"kind":"convolution","width":64},"training":{"epochs":1,"optimizer":{"kind":"adam","rate":0.05}}}
    without rate=0.05 network=wide: known to diverge
    "#);
}

#[test]
fn a_profile_can_declare_its_own_points() {
    let text = r#"
        question = "Does a start help?"
        base = "base.toml"
        [[axis]]
        name = "network"
        [axis.points.narrow]
        model.width = 8
        [axis.points.wide]
        model.width = 128
        [profile.long.points.network.wide]
        model.width = 128
        training.epochs = 90
    "#;
    assert_snapshot!(written(&Bench::new().plan(text, Some("long")).unwrap()), @r#"
    x long: Does a start help?
    baseline ; seeds [0]
    axis network: wide
    5818a888b8 0/0 network=wide
    0 {"model":{"groups":2,"kernels":[1,3],"kind":"mlp","width":128},"training":{"epochs":90,"optimizer":{"kind":"sgd","momentum":0.9,"rate":0.1}}}
    "#);
}

#[test]
fn points_of_a_profile_stay_in_the_grids_that_have_them() {
    let text = r#"
        question = "Which one?"
        base = "base.toml"
        [[grid]]
        overlay = { training.epochs = 3 }
        [[grid.axis]]
        name = "network"
        [grid.axis.points.narrow]
        model.width = 8
        [[grid]]
        overlay = { training.epochs = 4 }
        [[grid.axis]]
        name = "network"
        [grid.axis.points.wide]
        model.width = 128
        [profile.own.points.network.narrow]
        model.width = 10
        [profile.own.points.network.wide]
        model.width = 130
    "#;
    let plan = Bench::new().plan(text, Some("own")).unwrap();
    let rows: Vec<String> = plan.runs.iter().map(|run| run.coordinates.to_string()).collect();
    assert_eq!(rows, ["network=narrow", "network=wide"]);
    for (configuration, (width, epochs)) in plan.configurations.iter().zip([(10, 3), (130, 4)]) {
        assert!(configuration.contains(&format!("\"width\":{width}")), "{configuration}");
        assert!(configuration.contains(&format!("\"epochs\":{epochs}")), "{configuration}");
    }
}

#[test]
fn the_default_profile_equals_no_profile() {
    let bench = bench();
    assert_eq!(bench.plan(EVERYTHING, None).unwrap(), bench.plan(EVERYTHING, Some("default")).unwrap());
    assert_eq!(bench.load(EVERYTHING, None).unwrap().profiles(), ["default", "quick"]);
}

#[test]
fn points_with_equal_configurations_are_merged() {
    let text = r#"
        question = "Is the default the default?"
        base = "base.toml"
        [[axis]]
        name = "network"
        [axis.points.as-it-is]
        [axis.points.said-again]
        model.groups = 2
    "#;
    assert_snapshot!(written(&Bench::new().plan(text, None).unwrap()), @r#"
    x default: Is the default the default?
    baseline ; seeds [0]
    axis network: as-it-is said-again
    5a792080ca 0/0 network=as-it-is
    0 {"model":{"groups":2,"kernels":[1,3],"kind":"mlp","width":64},"training":{"epochs":10,"optimizer":{"kind":"sgd","momentum":0.9,"rate":0.1}}}
    network=said-again is network=as-it-is
    "#);
}

#[test]
fn another_kind_replaces_the_whole_table_in_any_order_of_axes() {
    let axes = [
        "[[axis]]\nname = \"optimizer\"\n[axis.points.adam]\ntraining.optimizer.kind = \"adam\"\n",
        "[[axis]]\nname = \"rate\"\npath = \"training.optimizer.rate\"\nvalues = [0.2]\n",
    ];
    let plan = |axes: [&str; 2]| {
        let text = format!("question = \"q\"\nbase = \"base.toml\"\n{}{}", axes[0], axes[1]);
        Bench::new().plan(&text, None).unwrap()
    };
    let forwards = plan(axes);
    assert!(forwards.configurations[0].contains(r#""optimizer":{"kind":"adam","rate":0.2}"#));
    assert_eq!(forwards.runs[0].id, plan([axes[1], axes[0]]).runs[0].id);
}

#[test]
fn a_record_has_the_runs_of_the_plan() {
    let bench = bench();
    let plan = bench.plan(EVERYTHING, None).unwrap();
    let record = plan.record();
    assert_eq!(record.runs.len(), plan.runs.len());
    assert_eq!(record.axes, plan.axes);
    assert_eq!(record.exclusions, plan.exclusions);
}

#[test]
fn a_hundred_thousand_runs_have_different_ids() {
    let values = |count: usize| (0..count).map(|n| n.to_string()).collect::<Vec<_>>().join(", ");
    let axis = |name: &str, count| {
        format!("[[axis]]\nname = \"{name}\"\npath = \"model.{name}\"\nvalues = [{}]\n", values(count))
    };
    let axes = [axis("a", 100), axis("b", 100), axis("c", 10)].concat();
    let bench = Bench::new();
    let experiment = bench.load(&format!("question = \"q\"\nbase = \"base.toml\"\n{axes}"), None).unwrap();
    let plan = sweep_plan::plan(&experiment, &accept).unwrap();
    let ids: std::collections::BTreeSet<_> = plan.runs.iter().map(|run| run.id).collect();
    assert_eq!((ids.len(), plan.configurations.len()), (100_000, 100_000));
    assert_eq!(plan.runs[12_345].coordinates.to_string(), "a=12 b=34 c=5");
}
