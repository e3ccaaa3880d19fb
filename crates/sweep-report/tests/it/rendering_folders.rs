//! Properties of a folder of renderings: our files follow the declaration, and no file of the user is ever lost.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use proptest::collection::{btree_map, vec};
use proptest::prelude::{Strategy, prop_assert, prop_assert_eq, prop_oneof, proptest};
use sweep_report::Rendering;
use sweep_report::rendered::write;

/// Something that happens to a folder.
#[derive(Clone, Debug)]
enum Step {
    /// A report with these files is rendered.
    Render(BTreeMap<u8, u8>),
    /// The user writes a file with the name of a rendering.
    Edit(u8, u8),
    /// The user writes a file with another name.
    Own(u8, u8),
}

fn step() -> impl Strategy<Value = Step> {
    let files = btree_map(0..4u8, 0..3u8, 0..4).prop_map(Step::Render);
    prop_oneof![
        files,
        (0..4u8, 0..9u8).prop_map(|(n, c)| Step::Edit(n, c)),
        (0..4u8, 0..9u8).prop_map(|(n, c)| Step::Own(n, c))
    ]
}

fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    entries.map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())).collect()
}

proptest! {
    #[test]
    fn no_text_of_the_user_is_ever_lost(steps in vec(step(), 1..12)) {
        let folder = tempfile::tempdir().unwrap();
        // All renderings and edits have different bytes, so that their origin can be recognised.
        let mut texts: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        for (at, step) in steps.into_iter().enumerate() {
            match step {
                Step::Own(name, content) => {
                    let text = format!("own {content}").into_bytes();
                    fs::write(folder.path().join(format!("notes{name}.md")), &text).unwrap();
                    texts.insert(format!("notes{name}.md"), text);
                }
                Step::Edit(name, content) => {
                    let text = format!("edit {content} of step {at}").into_bytes();
                    let file = format!("f{name}.csv");
                    fs::write(folder.path().join(&file), &text).unwrap();
                    texts.insert(file, text);
                }
                Step::Render(files) => {
                    let files: BTreeMap<String, Vec<u8>> =
                        files.iter().map(|(n, c)| (format!("f{n}.csv"), vec![*c])).collect();
                    let renderings: Vec<Rendering> = files
                        .iter()
                        .map(|(path, bytes)| Rendering { path: path.into(), bytes: bytes.clone() })
                        .collect();
                    write(folder.path(), &renderings).unwrap();
                    let now = contents(folder.path());
                    for (name, bytes) in &files {
                        prop_assert_eq!(&now[name], bytes);
                    }
                    // All other files are the manifest or belong to the user.
                    for (name, bytes) in &now {
                        let is_text = bytes.starts_with(b"own") || bytes.starts_with(b"edit");
                        prop_assert!(files.contains_key(name) || name == "manifest.json" || is_text, "{}", name);
                    }
                    for (name, text) in &texts {
                        prop_assert!(now.values().any(|bytes| bytes == text), "{} is lost", name);
                    }
                    prop_assert_eq!(write(folder.path(), &renderings).unwrap(), []);
                    prop_assert_eq!(&now, &contents(folder.path()));
                }
            }
        }
    }
}

/// If a rendering stops after some of its files, the next rendering must not take these files for the user's.
#[test]
fn files_of_an_interrupted_rendering_do_not_count_as_edits() {
    let folder = tempfile::tempdir().unwrap();
    let report = |text: &str| ["a.md", "b.md"].map(|name| Rendering { path: name.into(), bytes: text.into() });
    assert_eq!(write(folder.path(), &report("first")).unwrap(), []);
    // The second file cannot be written, because a folder blocks its temporary file.
    let obstacle = folder.path().join(format!("b.md.{}.tmp", std::process::id()));
    fs::create_dir(&obstacle).unwrap();
    write(folder.path(), &report("second")).unwrap_err();
    assert_eq!(
        (&contents_of(folder.path(), "a.md"), &contents_of(folder.path(), "b.md")),
        (&b"second".to_vec(), &b"first".to_vec())
    );
    fs::remove_dir(&obstacle).unwrap();
    assert_eq!(write(folder.path(), &report("third")).unwrap(), []);
    assert_eq!(contents_of(folder.path(), "a.md"), b"third");
    assert!(!String::from_utf8(contents_of(folder.path(), "manifest.json")).unwrap().contains("begun"));
}

fn contents_of(folder: &Path, name: &str) -> Vec<u8> {
    fs::read(folder.join(name)).unwrap()
}

#[test]
fn an_edited_file_is_kept_without_a_manifest_too() {
    for manifest in [None, Some("{")] {
        let folder = tempfile::tempdir().unwrap();
        let rendering = |bytes: &[u8]| Rendering { path: "report.json".into(), bytes: bytes.to_vec() };
        write(folder.path(), &[rendering(b"first")]).unwrap();
        fs::write(folder.path().join("report.json"), "mine").unwrap();
        match manifest {
            None => fs::remove_file(folder.path().join("manifest.json")).unwrap(),
            Some(text) => fs::write(folder.path().join("manifest.json"), text).unwrap(),
        }
        write(folder.path(), &[rendering(b"second")]).unwrap();
        let now = contents(folder.path());
        assert_eq!((&*now["report.json"], &*now["report.json.edited-1"]), (&b"second"[..], &b"mine"[..]));
        assert_eq!(now.get("manifest.json.edited-1").map(|bytes| &bytes[..]), manifest.map(str::as_bytes));
    }
}

#[test]
fn a_first_rendering_that_was_interrupted_is_no_file_of_the_user() {
    let folder = tempfile::tempdir().unwrap();
    let rendering = |name: &str, bytes: &[u8]| Rendering { path: name.into(), bytes: bytes.to_vec() };
    // A file in a folder that does not exist stands for a full disk: the second file cannot be written.
    let first = [rendering("a", b"1"), rendering("missing/b", b"1")];
    write(folder.path(), &first).unwrap_err();
    assert_eq!(fs::read(folder.path().join("a")).unwrap(), b"1");
    assert_eq!(write(folder.path(), &[rendering("a", b"2")]).unwrap(), []);
    assert_eq!(fs::read(folder.path().join("a")).unwrap(), b"2");
}
