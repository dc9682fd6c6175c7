//! What a text costs: its encoding, and the number of parts it is sent in (3GPP TS 23.038, 23.040).

/// The letters of the GSM 7-bit alphabet, one septet each.
const BASIC: &str = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?\
                     ¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà";
/// Those of its extension table, two septets each.
const EXTENSION: &str = "\u{c}^{}\\[~]|€";

/// How a text is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// GSM 7-bit, counted in septets: 160 in one part, 153 in each of several.
    Gsm7,
    /// UCS-2, counted in UTF-16 units: 70 in one part, 67 in each of several. One letter outside
    /// GSM-7 is enough for it.
    Ucs2,
}

/// What a text costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segments {
    /// How it is encoded.
    pub encoding: Encoding,
    /// Septets, or UTF-16 units.
    pub units: usize,
    /// Parts, each of which is paid; 1 for an empty text.
    pub count: usize,
}

/// Counts by putting letter after letter into parts, because a letter of two units is not split.
///
/// Twilio also keeps together what shows as one sign (an emoji made of several): where such a sign
/// meets the end of a part, it may count one more.
#[must_use]
pub fn segments(text: &str) -> Segments {
    let septets: Option<Vec<usize>> = text.chars().map(septets).collect();
    let (encoding, alone, part, sizes) = match septets {
        Some(septets) => (Encoding::Gsm7, 160, 153, septets),
        None => (Encoding::Ucs2, 70, 67, text.chars().map(char::len_utf16).collect()),
    };
    let units: usize = sizes.iter().sum();
    let mut count = 1;
    if units > alone {
        let mut filled = 0;
        for size in sizes {
            if filled + size > part {
                count += 1;
                filled = 0;
            }
            filled += size;
        }
    }
    Segments { encoding, units, count }
}

/// The septets of a letter; `None` if GSM-7 does not have it.
pub(super) fn septets(c: char) -> Option<usize> {
    if BASIC.contains(c) {
        Some(1)
    } else if EXTENSION.contains(c) {
        Some(2)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_alphabet_is_whole() {
        // 128 places, less the escape to the extension table.
        assert_eq!(BASIC.chars().count(), 127);
        assert_eq!(EXTENSION.chars().count(), 10);
    }

    #[test]
    fn parts_are_counted_as_operators_do() {
        use Encoding::{Gsm7, Ucs2};
        let a = |count: usize| "a".repeat(count);
        let zh = |count: usize| "ж".repeat(count);
        for (text, encoding, count) in [
            (String::new(), Gsm7, 1),
            (a(160), Gsm7, 1),
            (a(161), Gsm7, 2),
            (a(306), Gsm7, 2),
            (a(307), Gsm7, 3),
            (a(459), Gsm7, 3),
            (a(460), Gsm7, 4),
            ("€".repeat(80), Gsm7, 1),
            ("€".repeat(81), Gsm7, 2),
            (a(152) + "€" + &a(152), Gsm7, 3),
            (zh(70), Ucs2, 1),
            (zh(71), Ucs2, 2),
            (zh(134), Ucs2, 2),
            (zh(135), Ucs2, 3),
            ("😀".repeat(35), Ucs2, 1),
            ("😀".repeat(36), Ucs2, 2),
            (zh(66) + "😀" + &zh(66), Ucs2, 3),
            ("ç".to_owned(), Ucs2, 1),
            ("`".to_owned(), Ucs2, 1),
            ("\t".to_owned(), Ucs2, 1),
            ("\u{a0}".to_owned(), Ucs2, 1),
            ("’".to_owned(), Ucs2, 1),
            ("à ÇÉ@£ [~]".to_owned(), Gsm7, 1),
        ] {
            let found = segments(&text);
            assert_eq!((found.encoding, found.count), (encoding, count), "{text}");
        }
        assert_eq!(segments("a€").units, 3);
        assert_eq!(segments("ж😀").units, 3);
    }
}
