//! Whether a rendered report is newer than all that it was rendered from, as `make` asks it: then a call with nothing to do leaves it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use sweep_report::rendered::{MANIFEST, is_complete};

/// Whether the renderings in `folder` are newer than each of these files. A file that is not there is no reason to render.
pub(crate) fn is_current(folder: &Path, inputs: &[PathBuf]) -> bool {
    let Some(rendered) = changed_at(&folder.join(MANIFEST)).filter(|_| is_complete(folder)) else { return false };
    inputs.iter().filter_map(|input| changed_at(input)).all(|changed| changed < rendered)
}

fn changed_at(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|data| data.modified()).ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn renderings_are_current_while_they_are_newer_than_their_inputs() {
        let folder = tempfile::tempdir().unwrap();
        let input = folder.path().join("rows");
        let at = |path: &Path, seconds: u64| {
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
            fs::File::options()
                .write(true)
                .create(true)
                .truncate(false)
                .open(path)
                .unwrap()
                .set_modified(time)
                .unwrap();
        };
        let inputs = [input.clone(), folder.path().join("missing")];
        at(&input, 10);
        assert!(!is_current(folder.path(), &inputs), "nothing is rendered");
        let manifest = folder.path().join(MANIFEST);
        fs::write(&manifest, r#"{"written_by":"repmlp-sweep","renderings":{"a.md":""}}"#).unwrap();
        at(&manifest, 11);
        assert!(!is_current(folder.path(), &inputs), "a rendering is missing");
        fs::write(folder.path().join("a.md"), "").unwrap();
        assert!(is_current(folder.path(), &inputs));
        at(&input, 11);
        assert!(!is_current(folder.path(), &inputs), "in doubt it is rendered again");
    }
}
