//! Names that cannot be files or folders, and texts with forbidden characters.

use std::fs;
use std::os::unix::fs::symlink;

use insta::assert_snapshot;
use sweep_plan::{Colors, digest, load};

use crate::bench::{Bench, GROUPS, more_faults, resolve};

#[test]
fn profile_names_that_are_not_file_names() {
    let profiles = "[profile.\"../..\"]\nseeds = 1\n[profile.\"..\"]\nseeds = 1\n[profile.\"\"]\nseeds = 1\n\
                    [profile.\"/tmp\"]\nseeds = 1\n[profile.\"größer 2.0\"]\nseeds = 1\n";
    assert_snapshot!(more_faults(profiles), @r#"
    error: the name of a profile contains `/`, which is not allowed in a name
     --> x.toml:3:10
      |
    3 | [profile."../.."]
      |          ^^^^^^^
      |
      = help: use letters, digits, `.`, `-`, `_` and inner spaces, no dot at the start, and at most 100 bytes

    error: the name of a profile starts with a dot
     --> x.toml:5:10
      |
    5 | [profile.".."]
      |          ^^^^
      |
      = help: use letters, digits, `.`, `-`, `_` and inner spaces, no dot at the start, and at most 100 bytes

    error: the name of a profile is empty
     --> x.toml:7:10
      |
    7 | [profile.""]
      |          ^^
      |
      = help: use letters, digits, `.`, `-`, `_` and inner spaces, no dot at the start, and at most 100 bytes

    error: the name of a profile contains `/`, which is not allowed in a name
     --> x.toml:9:10
      |
    9 | [profile."/tmp"]
      |          ^^^^^^
      |
      = help: use letters, digits, `.`, `-`, `_` and inner spaces, no dot at the start, and at most 100 bytes
    "#);
}

#[test]
fn an_axis_with_an_invalid_name() {
    assert_snapshot!(more_faults(&GROUPS.replace("\"groups\"\npath", "\"a/b\\u001b\"\npath")), @r#"
    error: `name` contains `/`, which is not allowed in a name
     --> x.toml:4:8
      |
    4 | name = "a/b\u001b"
      |        ^^^^^^^^^^^
      |
      = help: use letters, digits, `.`, `-`, `_` and inner spaces, no dot at the start, and at most 100 bytes
    "#);
}

#[test]
fn labels_with_control_characters() {
    let labels = "labels = [\"a\\nb\", \"red \\u001b[31mink\", \"\\u202Etfel\"]\n";
    assert_snapshot!(more_faults(&[GROUPS, labels].concat()), @r#"
    error: an item of `labels` contains a line break (U+000A)
     --> x.toml:7:11
      |
    7 | labels = ["a\nb", "red \u001b[31mink", "\u202Etfel"]
      |           ^^^^^^
      |
      = help: remove it: it could control a terminal or change what readers see

    error: an item of `labels` contains a control character (U+001B)
     --> x.toml:7:19
      |
    7 | labels = ["a\nb", "red \u001b[31mink", "\u202Etfel"]
      |                   ^^^^^^^^^^^^^^^^^^^
      |
      = help: remove it: it could control a terminal or change what readers see

    error: an item of `labels` contains a character that changes the direction of writing (U+202E)
     --> x.toml:7:40
      |
    7 | labels = ["a\nb", "red \u001b[31mink", "\u202Etfel"]
      |                                        ^^^^^^^^^^^^
      |
      = help: remove it: it could control a terminal or change what readers see
    "#);
}

#[test]
fn labels_made_from_values_or_written_as_keys() {
    let axes = "[[axis]]\nname = \"a\"\npath = \"model.kind\"\nvalues = [\"m\", \"x\\u0007\"]\n\
                [[axis]]\nname = \"b\"\n[axis.points.\"p\\u009b\"]\nmodel.width = 32\n";
    assert_snapshot!(more_faults(axes), @r#"
    error: a key of `points` contains a control character (U+009B)
     --> x.toml:9:14
      |
    9 | [axis.points."p\u009b"]
      |              ^^^^^^^^^
      |
      = help: remove it: it could control a terminal or change what readers see
    "#);
    let axis = "[[axis]]\nname = \"a\"\npath = \"model.kind\"\nvalues = [\"m\", \"x\\u0007\"]\n";
    assert_snapshot!(more_faults(axis), @r#"
    error: a label of axis `a` contains a control character (U+0007)
     --> x.toml:6:16
      |
    6 | values = ["m", "x\u0007"]
      |                ^^^^^^^^^
      |
      = help: remove it: it could control a terminal or change what readers see
    "#);
    let profile = "[profile.p.points]\ngroups = [\"\\u200f\"]\n";
    assert_snapshot!(more_faults(&[GROUPS, profile].concat()), @r#"
    error: a label of axis `groups` contains a character that changes the direction of writing (U+200F)
     --> x.toml:8:11
      |
    8 | groups = ["\u200f"]
      |           ^^^^^^^^
      |
      = help: remove it: it could control a terminal or change what readers see
    "#);
}

#[test]
fn sentences_may_have_line_breaks_but_no_control_characters() {
    let bench = Bench::new();
    let sound = format!("question = \"\"\"one\ntwo\"\"\"\nbase = \"base.toml\"\n{GROUPS}");
    bench.load(&sound, None).unwrap();
    assert_snapshot!(bench.faults(&sound.replace("one", "o\\u001bne"), None), @r#"
    error: `question` contains a control character (U+001B)
     --> x.toml:1:12
      |
    1 |   question = """o\u001bne
      |  ____________^
    2 | | two"""
      | |______^
      |
      = help: remove it: it could control a terminal or change what readers see
    "#);
}

#[test]
fn a_file_whose_name_cannot_be_a_folder() {
    let bench = Bench::new();
    bench.write(".x.toml", "question = \"q\"\nbase = \"base.toml\"\n");
    let fault = load(&bench.path().join(".x.toml"), None).unwrap_err();
    assert_snapshot!(bench.rendered(&fault), @"
    error: the file name is the name of the experiment, and it starts with a dot
    --> .x.toml
     = help: rename the file: use letters, digits, `.`, `-`, `_` and inner spaces, no dot at the start, and at most 100 bytes
    ");
}

#[test]
fn a_link_is_read_as_its_target() {
    let bench = Bench::new();
    let here = bench.plan("question = \"q\"\nbase = \"base.toml\"\n", None).unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    symlink(bench.path().join("x.toml"), elsewhere.path().join("first.toml")).unwrap();
    symlink("first.toml", elsewhere.path().join("latest.toml")).unwrap();
    let link = elsewhere.path().join("latest.toml");
    let there = load(&link, None).unwrap();
    assert_eq!(there.name(), "x");
    assert_eq!(sweep_plan::plan(&there, &resolve).unwrap(), here);
    assert_eq!(there.digest(), digest(&link).unwrap());
    fs::write(bench.path().join("x.toml"), "base = 1").unwrap();
    let fault = load(&link, None).unwrap_err().render(Colors::Off);
    assert!(fault.contains(&format!("{}:1", bench.path().join("x.toml").display())), "{fault}");
}

#[test]
fn a_digest_changes_with_the_file_and_its_bases() {
    let bench = Bench::new();
    let text = "question = \"q\"\nbase = \"base.toml\"\n";
    let of = |text: &str| {
        bench.load(text, None).unwrap();
        digest(&bench.path().join("x.toml")).unwrap()
    };
    let first = of(text);
    assert_eq!(first, of(text));
    assert_ne!(first, of(&format!("{text}# more\n")));
    bench.write("base.toml", &crate::bench::BASE.replace("64", "32"));
    assert_ne!(first, of(text));
}
