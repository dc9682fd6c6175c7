//! Where a record stands: its line, and which of the records on it.

use std::fmt;

/// Names the places of the records of one input, which differ though many stand on one line, as in
/// a JSON array without line breaks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Places {
    line: u64,
    before: u64,
}

impl Places {
    /// The place of the input's next record, which starts on this line.
    pub fn next(&mut self, line: u64) -> Place {
        self.before = if line == self.line { self.before + 1 } else { 0 };
        self.line = line;
        Place { line, before: self.before }
    }
}

/// Where a record stands; written `17`, or `17#2` for the second record on line 17.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    line: u64,
    before: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.before {
            0 => write!(f, "{}", self.line),
            before => write!(f, "{}#{}", self.line, before.saturating_add(1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_on_one_line_have_places_of_their_own() {
        let mut places = Places::default();
        let named: Vec<String> =
            [1, 3, 3, 3, 4, 7, 7].iter().map(|line| places.next(*line).to_string()).collect();
        assert_eq!(named, ["1", "3", "3#2", "3#3", "4", "7", "7#2"]);
    }
}
