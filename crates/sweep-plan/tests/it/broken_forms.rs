//! Files with a wrong form (syntax, keys, axes, bases), and the message for each.

use insta::assert_snapshot;

use crate::bench::{Bench, GROUPS, more_faults};

#[test]
fn a_syntax_error() {
    assert_snapshot!(more_faults("seeds = [1, 2\n[[axis]]\n"), @"
    error: this list is not closed
     --> x.toml:3:9
      |
    3 | seeds = [1, 2
      |         ^
      |
      = help: write `]` where it ends
    ");
}

#[test]
fn an_unclosed_value_is_reported_once_where_it_begins() {
    let more = "[[axis]]\nname = \"g\"\npath = \"model.groups\"\nvalues = [1, 2]\n\n[profile.smoke]\nseeds = 1\n";
    for opening in ["seeds = [1,\n", "overlay = { training.epochs = 3\n", "seeds = [1, 2 # ]\n"] {
        let faults = more_faults(&[opening, more].concat());
        assert!(faults.contains("x.toml:3:") && faults.matches("error").count() == 1, "{faults}");
    }
    assert_snapshot!(more_faults(&["x = 1 2\nseeds = [1,\n", more].concat()), @"
    error: string values must be quoted, expected literal string
     --> x.toml:3:5
      |
    3 | x = 1 2
      |     ^^^

    error: this list is not closed
     --> x.toml:4:9
      |
    4 | seeds = [1,
      |         ^
      |
      = help: write `]` where it ends
    ");
}

#[test]
fn an_unknown_key() {
    assert_snapshot!(more_faults("seed = 3\n[[axes]]\nname = \"x\"\n"), @r"
    error: unknown key `seed` in the experiment file
     --> x.toml:3:1
      |
    3 | seed = 3
      | ^^^^
      |
      = help: did you mean `seeds`?

    error: unknown key `axes` in the experiment file
     --> x.toml:4:3
      |
    4 | [[axes]]
      |   ^^^^
      |
      = help: did you mean `axis`?
    ");
}

#[test]
fn an_unknown_key_of_an_axis() {
    assert_snapshot!(more_faults(&GROUPS.replace("values", "vals")), @r"
    error: unknown key `vals` in this axis
     --> x.toml:6:1
      |
    6 | vals = [1, 2, 4]
      | ^^^^
      |
      = help: did you mean `values`?
    ");
}

#[test]
fn missing_required_keys() {
    assert_snapshot!(Bench::new().faults("seeds = 1\n[[axis]]\npath = \"a\"\nvalues = [1]\n", None), @r"
    error: `question` is missing in the experiment file
    --> x.toml
     = help: The question that the experiment asks, in one sentence.

    error: `base` is missing in the experiment file
    --> x.toml
     = help: Path of the complete configuration that every run starts from, relative to this file.

    error: `name` is missing in this axis
     --> x.toml:2:1
      |
    2 | [[axis]]
      | ^^^^^^^^
      |
      = help: Name of the axis in coordinates, tables and plots.
    ");
}

#[test]
fn numbers_that_are_too_large_are_refused_where_they_stand() {
    for (text, range) in [
        ("exec = { slots = 257 }\n", "`slots` must be a whole number (from 1 to 256), not 257"),
        ("exec = { threads = 5000000000 }\n", "`threads` must be a whole number (from 1 to 1024), not 5000000000"),
        ("launcher = { slurm = { cpus = 65536 } }\n", "`cpus` must be a whole number (from 1 to 65535), not 65536"),
        ("launcher = { slurm = { poll = 5000000000 } }\n", "`poll` must be a whole number (from 1 to 4294967295)"),
    ] {
        let faults = more_faults(text);
        assert!(faults.contains(range) && faults.contains("x.toml:3:"), "{faults}");
    }
}

#[test]
fn wrong_types() {
    let text = "seeds = 0\nbaseline = { groups = 2 }\naxis = { name = \"x\" }\nlimits = { max_runs = 1.5 }\n";
    assert_snapshot!(more_faults(text), @r#"
    error: `seeds` must be a whole number (at least 1) or a list, not 0
     --> x.toml:3:9
      |
    3 | seeds = 0
      |         ^

    error: `groups` in `baseline` must be a text in quotes, not 2
     --> x.toml:4:23
      |
    4 | baseline = { groups = 2 }
      |                       ^
      |
      = help: write "2"

    error: `axis` must be a list, not a table
     --> x.toml:5:8
      |
    5 | axis = { name = "x" }
      |        ^^^^^^^^^^^^^^
      |
      = help: write `[[axis]]` with two brackets

    error: `max_runs` must be a whole number (at least 1), not 1.5
     --> x.toml:6:23
      |
    6 | limits = { max_runs = 1.5 }
      |                       ^^^
    "#);
}

#[test]
fn values_that_are_not_allowed() {
    assert_snapshot!(more_faults("overlay = { a = 1979-05-27, b = inf, c = 99999999999999999999 }\n"), @r"
    error: dates and times are not allowed
     --> x.toml:3:17
      |
    3 | overlay = { a = 1979-05-27, b = inf, c = 99999999999999999999 }
      |                 ^^^^^^^^^^
      |
      = help: write a text in quotes

    error: infinite numbers and NaN are not allowed
     --> x.toml:3:33
      |
    3 | overlay = { a = 1979-05-27, b = inf, c = 99999999999999999999 }
      |                                 ^^^
      |
      = help: leave the key out, or write a finite number

    error: this integer does not fit into 64 bits
     --> x.toml:3:42
      |
    3 | overlay = { a = 1979-05-27, b = inf, c = 99999999999999999999 }
      |                                          ^^^^^^^^^^^^^^^^^^^^
    ");
}

#[test]
fn an_empty_axis() {
    assert_snapshot!(more_faults("[[axis]]\nname = \"groups\"\npath = \"model.groups\"\nvalues = []\n"), @r"
    error: `values` must not be empty
     --> x.toml:6:10
      |
    6 | values = []
      |          ^^
      |
      = help: give at least one item
    ");
}

#[test]
fn an_axis_without_points() {
    assert_snapshot!(more_faults("[[axis]]\nname = \"a\"\n[[axis]]\nname = \"b\"\npath = \"model.b\"\n"), @r#"
    error: axis `a` has no points
     --> x.toml:4:8
      |
    4 | name = "a"
      |        ^^^
      |
      = help: give `path` and `values`, or `zip`, or `[axis.points.LABEL]` tables

    error: axis `b` has `path`, which matches none of the three forms of an axis
     --> x.toml:6:8
      |
    6 | name = "b"
      |        ^^^
      |
      = help: give `path` and `values`, or `zip`, or `[axis.points.LABEL]` tables
    "#);
}

#[test]
fn an_axis_of_two_forms() {
    assert_snapshot!(more_faults(&[GROUPS, "zip = { \"model.a\" = [1] }\n"].concat()), @r#"
    error: axis `groups` has `path` and `values` and `zip`, which matches none of the three forms of an axis
     --> x.toml:4:8
      |
    4 | name = "groups"
      |        ^^^^^^^^
      |
      = help: give `path` and `values`, or `zip`, or `[axis.points.LABEL]` tables
    "#);
}

#[test]
fn an_axis_twice() {
    assert_snapshot!(more_faults(&[GROUPS, GROUPS].concat()), @r#"
    error: axis `groups` is declared twice in one product
     --> x.toml:8:8
      |
    8 | name = "groups"
      |        ^^^^^^^^
      |
      = help: rename one, or put each axis into its own grid
    "#);
}

#[test]
fn a_key_on_two_axes() {
    let network = "[[axis]]\nname = \"network\"\n[axis.points.a]\nmodel.groups = 8\n";
    assert_snapshot!(more_faults(&[GROUPS, network].concat()), @r#"
    error: axes `groups` and `network` both set `model.groups`
     --> x.toml:8:8
      |
    8 | name = "network"
      |        ^^^^^^^^^
      |
      = help: set the key on one axis only, or change several keys together with `zip`
    "#);
}

#[test]
fn a_point_twice() {
    assert_snapshot!(more_faults(&GROUPS.replace("4]", "2]")), @r"
    error: axis `groups` has two points with the label `2`
     --> x.toml:6:17
      |
    6 | values = [1, 2, 2]
      |                 ^
      |
      = help: remove one, or give them different `labels`
    ");
}

#[test]
fn labels_that_do_not_fit() {
    assert_snapshot!(more_faults(&[GROUPS, "labels = [\"one\", \"two\"]\n"].concat()), @r#"
    error: axis `groups` needs 3 labels, not 2
     --> x.toml:7:10
      |
    7 | labels = ["one", "two"]
      |          ^^^^^^^^^^^^^^
      |
      = help: give one label for each point
    "#);
}

#[test]
fn an_invalid_path() {
    assert_snapshot!(more_faults(&GROUPS.replace("model.groups", "model..groups")), @r#"
    error: `model..groups` is not a dotted key
     --> x.toml:5:8
      |
    5 | path = "model..groups"
      |        ^^^^^^^^^^^^^^^
      |
      = help: join keys by single dots, as in `model.width`
    "#);
}

#[test]
fn a_zip_of_unequal_lists() {
    let zip = "[[axis]]\nname = \"size\"\nzip = { \"model.width\" = [32, 64], \"training.rate\" = [0.1] }\n";
    assert_snapshot!(more_faults(zip), @r#"
    error: `training.rate` needs 2 values, as many as `model.width`, not 1
     --> x.toml:5:53
      |
    5 | zip = { "model.width" = [32, 64], "training.rate" = [0.1] }
      |                                                     ^^^^^
      |
      = help: give all lists of a `zip` the same length
    "#);
}

#[test]
fn a_zip_of_one_key() {
    let zip = "[[axis]]\nname = \"size\"\nzip = { \"model.width\" = [1, 2], \"model.width.deep\" = [1, 2] }\n";
    assert_snapshot!(more_faults(zip), @r#"
    error: `model.width.deep` is set by two lists of the `zip`
     --> x.toml:5:33
      |
    5 | zip = { "model.width" = [1, 2], "model.width.deep" = [1, 2] }
      |                                 ^^^^^^^^^^^^^^^^^^
      |
      = help: name every key once
    "#);
}

#[test]
fn a_zip_with_a_bare_key() {
    assert_snapshot!(more_faults("[[axis]]\nname = \"size\"\nzip = { model.width = [1, 2] }\n"), @r#"
    error: `model` in `zip` must be a list, not a table
     --> x.toml:5:9
      |
    5 | zip = { model.width = [1, 2] }
      |         ^^^^^
      |
      = help: put a dotted key in quotes: `"a.b" = [1, 2]`
    "#);
}

#[test]
fn an_unknown_base() {
    assert_snapshot!(Bench::new().faults("question = \"q\"\nbase = \"bse.toml\"\n", None), @r#"
    error: base file `bse.toml` cannot be read: No such file or directory (os error 2)
     --> x.toml:2:8
      |
    2 | base = "bse.toml"
      |        ^^^^^^^^^^
      |
      = help: did you mean `base.toml`?
    "#);
    assert_snapshot!(Bench::new().faults("question = \"q\"\nbase = \"no/base.toml\"\n", None), @r#"
    error: base file `no/base.toml` cannot be read: No such file or directory (os error 2)
     --> x.toml:2:8
      |
    2 | base = "no/base.toml"
      |        ^^^^^^^^^^^^^^
      |
      = help: there is no folder `no`
    "#);
}

#[test]
fn a_cycle_of_bases() {
    let bench = Bench::new();
    bench.write("a.toml", "base = \"b.toml\"\n");
    bench.write("b.toml", "base = \"a.toml\"\n");
    let error = bench.load("question = \"q\"\nbase = \"a.toml\"\n", None).unwrap_err();
    assert_snapshot!(bench.rendered(&error), @r#"
    error: base files form a cycle: x.toml -> a.toml -> b.toml -> a.toml
     --> b.toml:1:8
      |
    1 | base = "a.toml"
      |        ^^^^^^^^
      |
      = help: remove this `base`
    "#);
}

#[test]
fn a_syntax_error_of_a_base() {
    let bench = Bench::new();
    bench.write("base.toml", "[model\n");
    let error = bench.load("question = \"q\"\nbase = \"base.toml\"\n", None).unwrap_err();
    assert_snapshot!(bench.rendered(&error), @r"
    error: unclosed table, expected `]`
     --> base.toml:1:7
      |
    1 | [model
      |       ^
    ");
}

#[test]
fn a_file_that_is_not_there() {
    let bench = Bench::new();
    let error = sweep_plan::load(&bench.path().join("none.toml"), None).unwrap_err();
    assert_snapshot!(bench.rendered(&error), @"error: experiment file none.toml cannot be read: No such file or directory (os error 2)");
}

#[test]
fn the_short_form_fits_on_a_line() {
    let bench = Bench::new();
    let error = bench.load("question = \"é\"\nbase = \"base.toml\"\nseed = 1\nbaselin = {}\n", None).unwrap_err();
    assert_snapshot!(bench.without_folder(&error.to_string()), @"x.toml:3:1: unknown key `seed` in the experiment file (and 1 more fault)");
    assert_snapshot!(bench.without_folder(&error.faults()[1].to_string()), @"x.toml:4:1: unknown key `baselin` in the experiment file");
}
