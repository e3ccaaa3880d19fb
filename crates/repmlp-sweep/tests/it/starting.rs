//! `init`: a new user's first minutes, with images of their own.

use std::fs;

use crate::bench::Bench;

/// Records of 32x32 colour images: one label byte and 3072 pixels. Images of class 1 are brighter.
fn records(count: usize) -> Vec<u8> {
    let image = |i: usize| {
        let class = (i % 2) as u8;
        let pixel = move |at: usize| (at * 7 + i * 13) as u8 / 4 + 120 * class;
        std::iter::once(class).chain((0..3072).map(pixel))
    };
    (0..count).flat_map(image).collect()
}

#[test]
fn images_of_a_users_own_are_trained_after_two_commands() {
    let bench = Bench::empty();
    fs::create_dir(bench.path("blobs")).unwrap();
    fs::write(bench.path("blobs/train.bin"), records(40)).unwrap();
    fs::write(bench.path("blobs/test.bin"), records(20)).unwrap();
    let ran = bench.done("init . --data blobs");
    assert!(ran.stderr().contains("found blobs: 40 training and 20 test images of 2 classes"), "{}", ran.stderr());
    let next = ran.stdout();
    let words = next.lines().find(|line| line.contains("--profile smoke")).unwrap();
    let words = words.split('#').next().unwrap().trim().strip_prefix("repmlp-sweep ").unwrap();
    let report = bench.done(words).stdout();
    assert!(report.contains("groups") && report.contains("baseline"), "{report}");
    assert!(bench.path("reports/blobs/smoke/report.md").exists());
}

#[test]
fn nothing_is_overwritten_and_bad_folders_are_explained() {
    let bench = Bench::empty();
    bench.done("init");
    let base = bench.path("experiments/base/fashion-mnist-5k.toml");
    fs::write(&base, "mine").unwrap();
    let ran = bench.run("init");
    assert_eq!(ran.code(), 2);
    assert!(ran.stderr().contains("already there; give another --name"), "{}", ran.stderr());
    assert_eq!(fs::read_to_string(&base).unwrap(), "mine");
    fs::write(bench.path(".gitignore"), "mine").unwrap();
    bench.done("init --name second");
    assert_eq!(fs::read_to_string(bench.path(".gitignore")).unwrap(), "mine");

    fs::create_dir_all(bench.path("empty")).unwrap();
    fs::create_dir_all(bench.path("small")).unwrap();
    for name in ["train.bin", "test.bin"] {
        fs::write(bench.path("small").join(name), records(3)).unwrap();
    }
    for (words, code, told) in [
        ("init --people", 2, "--people needs --data"),
        ("init --name a/b", 2, "--name a/b"),
        ("init --data empty", 4, "has no layout that this program reads"),
        ("init --data missing", 4, "there is no folder missing"),
        ("init small", 2, "did you mean `init --data small`"),
        ("init p --data small", 4, "at least 4 images of 2 classes"),
        ("init p --data small --people", 4, "leave --people out"),
    ] {
        let ran = bench.run(words);
        assert_eq!(ran.code(), code, "{words}: {}", ran.stderr());
        assert!(ran.stderr().contains(told), "{words}: {}", ran.stderr());
        assert!(!bench.path("p").exists(), "{words} leaves nothing behind");
    }

    // A file stands where a folder must be: what was created before is removed again.
    fs::create_dir_all(bench.path("q")).unwrap();
    fs::write(bench.path("q/reports"), "mine").unwrap();
    let ran = bench.run("init q");
    assert_eq!(ran.code(), 21, "{}", ran.stderr());
    assert_eq!(fs::read_dir(bench.path("q")).unwrap().count(), 1, "only the user's file is there");
}

#[test]
fn manual_pages_have_examples_and_exit_codes() {
    let bench = Bench::empty();
    let page = bench.done("man").stdout();
    for part in [
        ".TH repmlp-sweep 1",
        ".SH EXAMPLES\n.nf",
        ".SH EXIT CODES\n.nf",
        "experiments/gfc_groups.toml --profile smoke",
    ] {
        assert!(page.contains(part), "no {part} in\n{page}");
    }
    bench.done("man --out pages");
    assert!(bench.path("pages/repmlp-sweep-run.1").exists() && !bench.path("pages/repmlp-sweep-train.1").exists());
}
