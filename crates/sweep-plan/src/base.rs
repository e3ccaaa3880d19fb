//! Reads the chain of base files that an experiment builds on.
//!
//! This module knows paths and the key `base`. Otherwise a base file is a configuration with any content.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::document::{self, Entry, Item, Node, SourceFile};
use crate::error::Faults;
use crate::nearest;
use crate::overlay::Overlay;

/// Reads the base files that the key `base` leads to. Returns their tables, lowest first.
pub(crate) fn chain(root: &Node, faults: &mut Faults) -> Vec<Overlay> {
    let mut tables = Vec::new();
    let mut source = Arc::clone(&faults.source);
    let mut names = vec![Link::to(&source.path)];
    let mut next = root.get("base").cloned();
    while let Some(base) = next.take() {
        let mut own = Faults::new(&source);
        let Some((file, mut tree)) = read(&base, &mut names, &mut own) else {
            faults.append(own);
            break;
        };
        next = take_base(&mut tree);
        tables.push(Overlay::new(&file, tree));
        source = file;
    }
    tables.reverse();
    tables
}

/// A file of the chain: the path that is shown, and the real path that is compared.
struct Link {
    shown: PathBuf,
    real: PathBuf,
}

impl Link {
    fn to(path: &Path) -> Self {
        Self { shown: path.to_owned(), real: fs::canonicalize(path).unwrap_or_else(|_| path.to_owned()) }
    }
}

fn read(base: &Entry, names: &mut Vec<Link>, faults: &mut Faults) -> Option<(Arc<SourceFile>, Node)> {
    let span = &base.node.span;
    let Some(name) = base.node.text() else {
        // The `base` key of the experiment file is checked with its other keys. This check is for base files.
        faults.add(
            span,
            "`base` must be a text in quotes",
            "write the path of a base file, relative to this file".to_owned(),
        );
        return None;
    };
    let path = faults.source.folder().join(name);
    let link = Link::to(&path);
    let is_cycle = names.iter().any(|earlier| earlier.real == link.real);
    names.push(link);
    if is_cycle {
        let chain: Vec<_> = names.iter().map(|link| link.shown.display().to_string()).collect();
        faults.add(span, format!("base files form a cycle: {}", chain.join(" -> ")), "remove this `base`".to_owned());
        return None;
    }
    let source = match SourceFile::read(&path) {
        Ok(source) => source,
        Err(error) => {
            faults.add(span, format!("base file `{}` cannot be read: {error}", path.display()), neighbours(&path));
            return None;
        }
    };
    match document::parse(&source) {
        Ok(tree) => Some((source, tree)),
        Err(syntax) => {
            faults.append(syntax);
            None
        }
    }
}

/// Returns help for a missing base file: similar or existing files in the same folder.
fn neighbours(path: &Path) -> Option<String> {
    let folder = match path.parent()? {
        here if here.as_os_str().is_empty() => Path::new("."),
        folder => folder,
    };
    let Ok(listing) = fs::read_dir(folder) else {
        return Some(format!("there is no folder `{}`", folder.display()));
    };
    let mut files: Vec<_> = listing
        .filter_map(|file| file.ok()?.file_name().into_string().ok())
        .filter(|file| Path::new(file).extension().is_some_and(|extension| extension == "toml"))
        .collect();
    files.sort();
    let wanted = path.file_name()?.to_string_lossy();
    Some(nearest::suggest(&wanted, "base files there", files.iter().map(String::as_str)))
}

fn take_base(tree: &mut Node) -> Option<Entry> {
    let Item::Table(entries) = &mut tree.item else { return None };
    let at = entries.iter().position(|entry| entry.key == "base")?;
    Some(entries.remove(at))
}
