//! Finds the known name that a misspelled name probably means.

/// Returns the most similar name. At most a third of its letters may differ.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let distance = |name: &str| strsim::damerau_levenshtein(word, name);
    let (name, _) = known
        .into_iter()
        .map(|name| (name, distance(name)))
        .filter(|(name, distance)| *distance <= name.chars().count().max(word.chars().count()) / 3)
        .min_by_key(|(_, distance)| *distance)?;
    Some(name)
}
