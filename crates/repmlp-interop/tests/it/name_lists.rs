//! Translation of all names of real state dicts.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use repmlp_interop::Naming;

/// Reads the names and shapes of a network. The file `tests/names/README.md` describes their source.
pub(crate) fn names(list: &str) -> BTreeMap<String, Vec<usize>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/names/{list}.json"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn theirs(ours: &str) -> Option<String> {
    Naming::Torchvision.from_ours(ours)
}

fn ours(theirs: &str) -> Option<String> {
    Naming::Torchvision.to_ours(theirs)
}

#[test]
fn torchvision_names_survive_a_round_trip() {
    for list in ["res50_torchvision", "efficientnet_b1_torchvision"] {
        let names = names(list);
        let translated: BTreeSet<String> = names.keys().map(|name| ours(name).unwrap()).collect();
        assert_eq!(translated.len(), names.len(), "{list}: no two names become one");
        for name in names.keys() {
            assert_eq!(theirs(&ours(name).unwrap()).as_ref(), Some(name), "{list}");
        }
    }
}

#[test]
fn both_lists_of_the_same_network_are_translations_of_each_other() {
    let translated: BTreeMap<_, _> =
        names("res50_official").into_iter().map(|(name, shape)| (theirs(&name).unwrap(), shape)).collect();
    assert_eq!(translated, names("res50_torchvision"));
}

#[test]
fn official_names_survive_a_round_trip_or_have_no_counterpart() {
    let lists = ["bottleneck_training", "bottleneck_deployed", "light_training", "light_deployed"];
    for list in lists.map(|list| format!("repmlp_res50_{list}")) {
        for name in names(&list).keys() {
            match theirs(name) {
                Some(translated) => assert_eq!(ours(&translated).as_ref(), Some(name), "{list}"),
                None => assert!(name.contains(".btnk_") || name.contains(".light_"), "{list}: {name}"),
            }
        }
    }
}
