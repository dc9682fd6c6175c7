//! "Did you mean": the nearest known word.

/// The candidate that is nearest to `word`, if one is near enough to be what was meant.
///
/// Near enough is a third of the word's length, at least one and at most three typing mistakes
/// (a letter added, left out, changed, or two neighbours swapped). Among equals the first wins.
#[must_use]
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    nearest_within(word, (word.chars().count() / 3).clamp(1, 3), candidates)
}

fn nearest_within<'a>(
    word: &str,
    allowed: usize,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let word: Vec<char> = word.chars().take(WORD_CHARS_MAX).flat_map(char::to_lowercase).collect();
    candidates
        .into_iter()
        // Each letter more or less is a mistake, so most candidates need no closer look.
        .filter(|candidate| candidate.len().abs_diff(word.len()) <= allowed * 2)
        .map(|candidate| (distance(&word, candidate), candidate))
        .filter(|(mistakes, _)| *mistakes <= allowed)
        .min_by_key(|(mistakes, _)| *mistakes)
        .map(|(_, candidate)| candidate)
}

/// The sentence that names the nearest candidate, if one is near enough.
#[must_use]
pub fn did_you_mean<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<String> {
    nearest(word, candidates).map(|candidate| format!("did you mean `{candidate}`?"))
}

/// As [`did_you_mean`], with the number of typing mistakes that is near enough.
#[must_use]
pub fn did_you_mean_within<'a>(
    word: &str,
    mistakes: usize,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<String> {
    nearest_within(word, mistakes, candidates)
        .map(|candidate| format!("did you mean `{candidate}`?"))
}

/// Longer words are compared by their beginning, so that a hostile file can't make this slow.
const WORD_CHARS_MAX: usize = 64;

/// Typing mistakes between two words: the restricted Damerau-Levenshtein distance.
fn distance(word: &[char], candidate: &str) -> usize {
    let candidate: Vec<char> =
        candidate.chars().take(WORD_CHARS_MAX).flat_map(char::to_lowercase).collect();
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=candidate.len()).collect();
    for (i, a) in word.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, b) in candidate.iter().enumerate() {
            let changed = last[j] + usize::from(a != b);
            let mut best = changed.min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && word[i - 1] == *b && *a == candidate[j - 1] {
                best = best.min(before_last[j - 1] + 1);
            }
            row.push(best);
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_meant_and_nothing_else() {
        let names = ["order.placed", "cart.changed", "cart.emptied"];
        assert_eq!(nearest("order.palced", names), Some("order.placed"));
        assert_eq!(nearest("cart.change", names), Some("cart.changed"));
        assert_eq!(nearest("Order.Placed", names), Some("order.placed"));
        assert_eq!(nearest("myshop.stockAlert", names), None);
        assert_eq!(nearest("of", ["if", "id"]), Some("if"));
    }
}
