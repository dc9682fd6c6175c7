//! What the keepers of a log share: packing, and finding a person's name in what is kept.

use std::collections::{BTreeSet, HashSet};

use super::ReleaseFiles;

/// The most bytes a release may have when it is read back.
const RELEASE_BYTES_MAX: usize = 64 << 20;
/// Level of compression: batches shrink to a fifth at over 200 MB/s, which is cheaper than
/// writing them whole.
const ZSTD_LEVEL: i32 = 1;

/// Compresses with a checksum, so that a flipped bit is found when it is read.
pub(super) fn compress(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut compressor = zstd::bulk::Compressor::new(ZSTD_LEVEL)?;
    compressor.include_checksum(true)?;
    compressor.compress(bytes)
}

/// The files of a release in the form in which they are kept, and their bytes before compression.
pub(super) fn pack_files(files: &[(String, Vec<u8>)]) -> Result<(Vec<u8>, usize), String> {
    let plain = postcard::to_allocvec(files).map_err(|error| error.to_string())?;
    let packed = compress(&plain).map_err(|error| error.to_string())?;
    Ok((packed, plain.len()))
}

/// What [`pack_files`] packed.
pub(super) fn unpack_files(packed: &[u8], bytes: i64) -> Result<ReleaseFiles, String> {
    let bytes = usize::try_from(bytes).unwrap_or(0).min(RELEASE_BYTES_MAX);
    let plain = zstd::bulk::decompress(packed, bytes).map_err(|error| error.to_string())?;
    postcard::from_bytes(&plain).map_err(|error| error.to_string())
}

/// Names of persons, to be found in what is kept. Capital ASCII letters are as small ones.
pub(super) struct Names {
    lengths: BTreeSet<usize>,
    names: HashSet<Vec<u8>>,
}

impl Names {
    /// Empty ones are left out.
    pub(super) fn new(names: &[String]) -> Self {
        let names = names.iter().filter(|name| !name.is_empty());
        let names: HashSet<Vec<u8>> =
            names.map(|name| name.to_ascii_lowercase().into_bytes()).collect();
        Self { lengths: names.iter().map(Vec::len).collect(), names }
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Whether one of them stands in a text as a word of its own. That takes as long for many names
    /// as for one of each length.
    pub(super) fn are_in(&self, text: &[u8]) -> bool {
        let text = text.to_ascii_lowercase();
        let goes_on = |at: Option<usize>| {
            at.and_then(|at| text.get(at)).is_some_and(u8::is_ascii_alphanumeric)
        };
        let stands = |from: usize, length: &usize| {
            let end = from + length;
            !goes_on(Some(end)) && text.get(from..end).is_some_and(|word| self.names.contains(word))
        };
        (0..text.len())
            .filter(|from| !goes_on(from.checked_sub(1)))
            .any(|from| self.lengths.iter().any(|length| stands(from, length)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_where_it_is_a_word_of_its_own() {
        let names = ["ann@shop.example", "7001", "Zoë@shop.example", "", "+31 6"];
        let names = Names::new(&names.map(str::to_owned));
        for (text, found) in [
            ("ann@shop.example", true),
            ("{\"email\":\"ANN@shop.example\"}", true),
            ("joann@shop.example", false),
            ("ann@shop.examples", false),
            ("id 7001", true),
            ("70011 17001 7001", true),
            ("70011 17001", false),
            ("zoë@SHOP.example,", true),
            ("tel:+31 6", true),
            ("tel:+31 61", false),
            ("", false),
            ("ann@shop.exampl", false),
        ] {
            assert_eq!(names.are_in(text.as_bytes()), found, "{text}");
        }
        assert!(names.are_in(b"\xff7001\xfe"));
        assert!(Names::new(&[String::new()]).is_empty());
    }
}
