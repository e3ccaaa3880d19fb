//! Faults that only the resolver finds. Each must be reported at the line that caused it.

use insta::assert_snapshot;

use crate::bench::{BASE, Bench};

/// Adds axes and overlays to a valid experiment and returns the rendered faults.
fn faults(more: &str, profile: Option<&str>) -> String {
    let bench = Bench::new();
    let text = format!("question = \"q\"\nbase = \"base.toml\"\n{more}");
    bench.rendered(&bench.plan(&text, profile).unwrap_err())
}

const GROUPS: &str = r#"
[[axis]]
name = "groups"
path = "model.groups"
values = [1, 2, 3]
"#;

const RATE: &str = r#"
[[axis]]
name = "rate"
path = "training.optimizer.rate"
values = [0.1, 0.2]
"#;

#[test]
fn an_axis_value() {
    assert_snapshot!(faults(GROUPS, None), @r"
    error: `model.groups`: 3 does not divide the width (at groups=3)
     --> x.toml:7:17
      |
    7 | values = [1, 2, 3]
      |                 ^
      |
      = help: choose a power of two
    ");
}

#[test]
fn an_axis_value_in_several_configurations() {
    assert_snapshot!(faults(&[RATE, GROUPS].concat(), None), @r"
    error: `model.groups`: 3 does not divide the width (at rate=0.1 groups=3, and 1 more configuration)
      --> x.toml:12:17
       |
    12 | values = [1, 2, 3]
       |                 ^
       |
       = help: choose a power of two
    ");
}

#[test]
fn a_base_file() {
    let bench = Bench::new();
    bench.write("base.toml", &BASE.replace("width", "widht"));
    let text = ["question = \"q\"\nbase = \"base.toml\"\n", RATE].concat();
    assert_snapshot!(bench.rendered(&bench.plan(&text, None).unwrap_err()), @r"
    error: `model.widht`: unknown key
     --> base.toml:3:1
      |
    3 | widht = 64
      | ^^^^^^^^^^
      |
      = help: known keys: kind, width, groups, kernels
    ");
}

#[test]
fn an_item_of_a_list() {
    let bench = Bench::new();
    bench.write("base.toml", &BASE.replace("[1, 3]", "[1, 2]"));
    assert_snapshot!(bench.rendered(&bench.plan("question = \"q\"\nbase = \"base.toml\"\n", None).unwrap_err()), @r"
    error: `model.kernels[1]`: a kernel of size 2 is even
     --> base.toml:5:15
      |
    5 | kernels = [1, 2]
      |               ^
    ");
}

#[test]
fn a_profile() {
    let profile = "[profile.paper.overlay]\nmodel = { wdith = 32 }\n";
    assert_snapshot!(faults(&[GROUPS, profile].concat(), Some("paper")), @r"
    error: `model.wdith`: unknown key
     --> x.toml:9:11
      |
    9 | model = { wdith = 32 }
      |           ^^^^^^^^^^
      |
      = help: known keys: kind, width, groups, kernels
    ");
}

#[test]
fn points_of_a_profile() {
    let profile = "[profile.paper]\npoints = { groups = [2, 5] }\n";
    assert_snapshot!(faults(&[GROUPS, profile].concat(), Some("paper")), @r"
    error: `model.groups`: 5 does not divide the width (at groups=5)
     --> x.toml:9:25
      |
    9 | points = { groups = [2, 5] }
      |                         ^
      |
      = help: choose a power of two
    ");
}

#[test]
fn a_long_point() {
    let point = "[[axis]]\nname = \"network\"\n[axis.points.plain]\n[axis.points.odd]\nmodel.groups = 3\n";
    assert_snapshot!(faults(point, None), @r"
    error: `model.groups`: 3 does not divide the width (at network=odd)
     --> x.toml:7:7
      |
    7 | model.groups = 3
      |       ^^^^^^^^^^
      |
      = help: choose a power of two
    ");
}

#[test]
fn an_included_row() {
    let include = "[[include]]\ncoordinates = { rate = \"none\" }\noverlay = { training.rate = 0 }\n";
    assert_snapshot!(faults(&[RATE, include].concat(), None), @r"
    error: `training.rate`: unknown key (at rate=none)
      --> x.toml:10:22
       |
    10 | overlay = { training.rate = 0 }
       |                      ^^^^^^^^
       |
       = help: known keys: epochs, optimizer
    ");
}

#[test]
fn a_section_that_is_missing_in_all_files() {
    let bench = Bench::new();
    bench.write("base.toml", "[model]\nkind = \"mlp\"\nwidth = 64\ngroups = 2\nkernels = []\n");
    assert_snapshot!(bench.rendered(&bench.plan("question = \"q\"\nbase = \"base.toml\"\n", None).unwrap_err()), @r"
    error: missing field `training`
    --> base.toml
    ");
}

#[test]
fn only_the_first_twenty_faults_are_rendered() {
    let values: Vec<_> = (100..130).map(|n| n.to_string()).collect();
    let axis = format!("[[axis]]\nname = \"groups\"\npath = \"model.groups\"\nvalues = [{}]\n", values.join(", "));
    let rendered = faults(&axis, None);
    assert_eq!(rendered.matches("error: ").count(), 20);
    assert!(rendered.ends_with("and 10 more faults"), "{rendered}");
}
