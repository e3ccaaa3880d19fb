//! Files that name unknown things or ask for something impossible, and the message for each.

use insta::assert_snapshot;

use crate::bench::{Bench, GROUPS, more_faults};

#[test]
fn an_exclude_without_a_reason() {
    let excludes = "[[exclude]]\nwhere = { groups = \"1\" }\n[[exclude]]\nwhere = { groups = \"1\" }\nreason = \" \"\n";
    assert_snapshot!(more_faults(&[GROUPS, excludes].concat()), @r#"
    error: `reason` is missing in this exclude
     --> x.toml:7:1
      |
    7 | [[exclude]]
      | ^^^^^^^^^^^
      |
      = help: Reason for the exclusion; shown in the plan and under tables.

    error: `reason` must not be empty
      --> x.toml:11:10
       |
    11 | reason = " "
       |          ^^^
    "#);
}

#[test]
fn an_exclude_with_unknown_names() {
    let exclude = "[[exclude]]\nwhere = { group = \"1\", groups = [\"1\", \"3\"] }\nreason = \"r\"\n\
                   [[exclude]]\nwhere = {}\nreason = \"r\"\n";
    assert_snapshot!(more_faults(&[GROUPS, exclude].concat()), @r#"
    error: there is no axis `group`
     --> x.toml:8:11
      |
    8 | where = { group = "1", groups = ["1", "3"] }
      |           ^^^^^
      |
      = help: did you mean `groups`?

    error: axis `groups` has no label `3`
     --> x.toml:8:39
      |
    8 | where = { group = "1", groups = ["1", "3"] }
      |                                       ^^^
      |
      = help: labels: 1, 2, 4

    error: `where` names no axis
      --> x.toml:11:9
       |
    11 | where = {}
       |         ^^
       |
       = help: write, for example, `where = { axis = "label" }`
    "#);
}

#[test]
fn an_exclude_of_everything() {
    let exclude = "[[exclude]]\nwhere = { groups = [\"1\", \"2\", \"4\"] }\nreason = \"r\"\n";
    assert_snapshot!(more_faults(&[GROUPS, exclude].concat()), @r"
    error: every row is excluded
     --> x.toml:7:3
      |
    7 | [[exclude]]
      |   ^^^^^^^
      |
      = help: narrow a `where`: an exclude removes every row that matches all of its axes
    ");
}

#[test]
fn an_include_of_an_existing_row() {
    let include = "[[include]]\ncoordinates = { groups = \"2\" }\n[[include]]\ncoordinates = { group = \"8\" }\n";
    assert_snapshot!(more_faults(&[GROUPS, include].concat()), @r#"
    error: there is no axis `group`
      --> x.toml:10:17
       |
    10 | coordinates = { group = "8" }
       |                 ^^^^^
       |
       = help: did you mean `groups`?
    "#);
    let include = "[[include]]\ncoordinates = { groups = \"2\" }\n";
    assert_snapshot!(more_faults(&[GROUPS, include].concat()), @r#"
    error: the plan already has the row groups=2
     --> x.toml:8:15
      |
    8 | coordinates = { groups = "2" }
      |               ^^^^^^^^^^^^^^^^
      |
      = help: give this row another label, or exclude the other row
    "#);
}

#[test]
fn an_unknown_profile() {
    let text = ["question = \"q\"\nbase = \"base.toml\"\n", GROUPS, "[profile.paper]\nseeds = 2\n"].concat();
    assert_snapshot!(Bench::new().faults(&text, Some("papre")), @r"
    error: there is no profile `papre`
    --> x.toml
     = help: did you mean `paper`? profiles: default, paper
    ");
}

#[test]
fn a_profile_with_unknown_names() {
    let profile = "[profile.p]\npoints = { group = [1], size = [\"tiny\"] }\n[profile.default]\n\
                   [profile.q]\npoints = { groups = [1, 1] }\n";
    let size = "[[axis]]\nname = \"size\"\n[axis.points.small]\n[axis.points.large]\n";
    assert_snapshot!(more_faults(&[GROUPS, size, profile].concat()), @r#"
    error: there is no axis `group`
      --> x.toml:12:12
       |
    12 | points = { group = [1], size = ["tiny"] }
       |            ^^^^^
       |
       = help: did you mean `groups`?

    error: axis `size` has no label `tiny`
      --> x.toml:12:33
       |
    12 | points = { group = [1], size = ["tiny"] }
       |                                 ^^^^^^
       |
       = help: labels: small, large

    error: `default` is reserved: it means the experiment without a profile
      --> x.toml:13:10
       |
    13 | [profile.default]
       |          ^^^^^^^
       |
       = help: move its keys to the top of the file, or give it another name

    error: `1` is named twice
      --> x.toml:15:25
       |
    15 | points = { groups = [1, 1] }
       |                         ^
       |
       = help: name every point once
    "#);
}

#[test]
fn a_baseline_with_unknown_names() {
    assert_snapshot!(more_faults(&["baseline = { group = \"1\", groups = \"3\" }\n", GROUPS].concat()), @r#"
    error: there is no axis `group`
     --> x.toml:3:14
      |
    3 | baseline = { group = "1", groups = "3" }
      |              ^^^^^
      |
      = help: did you mean `groups`?

    error: axis `groups` has no label `3`
     --> x.toml:3:36
      |
    3 | baseline = { group = "1", groups = "3" }
      |                                    ^^^
      |
      = help: labels: 1, 2, 4
    "#);
}

#[test]
fn a_baseline_that_a_profile_leaves_out() {
    let head = "question = \"q\"\nbase = \"base.toml\"\nbaseline = { groups = \"2\" }\n";
    let text = [head, GROUPS, "[profile.p]\npoints = { groups = [1, 4] }\n"].concat();
    assert_snapshot!(Bench::new().faults(&text, Some("p")), @r#"
    error: no row matches the baseline groups=2
     --> x.toml:3:12
      |
    3 | baseline = { groups = "2" }
      |            ^^^^^^^^^^^^^^^^
      |
      = help: give profile `p` its own `baseline`, or add the missing point to it
    "#);
}

#[test]
fn too_many_runs() {
    let limits = "[[exclude]]\nwhere = { groups = \"1\" }\nreason = \"r\"\n[limits]\nmax_runs = 5\n";
    assert_snapshot!(more_faults(&["seeds = 5\n", GROUPS, limits].concat()), @r"
    error: 10 runs, but `max_runs` is 5
      --> x.toml:12:12
       |
    12 | max_runs = 5
       |            ^
       |
       = help: (groups 3 - 1 excluded) × 5 seeds = 10: name fewer points or seeds, or raise `max_runs`
    ");
}

#[test]
fn more_runs_than_a_plan_can_hold() {
    let axes: String = (0..20)
        .map(|n| format!("[[axis]]\nname = \"a{n}\"\npath = \"a{n}\"\nvalues = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]\n"))
        .collect();
    assert_snapshot!(more_faults(&axes), @r"
    error: the products have too many runs: a plan can hold at most 1000000
    --> x.toml
     = help: a0 10 × a1 10 × a2 10 × a3 10 × a4 10 × a5 10 × a6 10 × a7 10 × a8 10 × a9 10 × a10 10 × a11 10 × a12 10 × a13 10 × a14 10 × a15 10 × a16 10 × a17 10 × a18 10 × a19 10 runs: name fewer points or seeds
    ");
}

#[test]
fn a_seed_twice() {
    assert_snapshot!(more_faults("seeds = [1, 2, 1]\n"), @r"
    error: seed 1 is named twice
     --> x.toml:3:16
      |
    3 | seeds = [1, 2, 1]
      |                ^
      |
      = help: name every seed once
    ");
}

#[test]
fn a_profile_with_no_points_or_unknown_points() {
    let text = |points: &str| format!("question = \"q\"\nbase = \"base.toml\"\n{GROUPS}[profile.p.points]\n{points}\n");
    let faults = |points: &str| Bench::new().faults(&text(points), Some("p"));
    let nothing = faults("groups = {}");
    assert!(nothing.contains("profile `p` leaves axis `groups` without points"), "{nothing}");
    let unknown = faults("groups.eight = { model.groups = 8 }");
    assert!(unknown.contains("axis `groups` has no label `eight`"), "{unknown}");
}

#[test]
fn an_axis_with_the_name_of_an_exported_column() {
    assert_snapshot!(more_faults(&GROUPS.replace("\"groups\"\npath", "\"epoch\"\npath")), @r#"
    error: an axis cannot be called `epoch`: exported tables have a column of that name
     --> x.toml:4:8
      |
    4 | name = "epoch"
      |        ^^^^^^^
      |
      = help: choose another name; reserved names: run, seed, status, metric, split, form, epoch, value, source, n, planned, mean, sd, low95, high95, best, tied, missing, delta, delta_n, delta_low95, delta_high95, p, p_adjusted, comparisons, sign_flip_p, paper, relative, relative_rounds, relative_low95, relative_high95, p_holm, welch_p, welch_low95, welch_high95, d_z, d_av, d_s, superiority, paired_superiority, margin, equivalence, equivalence_p
    "#);
}

#[test]
fn a_seed_that_the_index_cannot_hold() {
    assert_snapshot!(more_faults("seeds = [9223372036854775807, 9223372036854775808]\n"), @"
    error: seed 9223372036854775808 is too large
     --> x.toml:3:31
      |
    3 | seeds = [9223372036854775807, 9223372036854775808]
      |                               ^^^^^^^^^^^^^^^^^^^
      |
      = help: choose a seed of at most 9223372036854775807: the SQLite index cannot hold larger ones
    ");
}
