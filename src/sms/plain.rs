//! The same text in letters that cost less.

use super::segments::septets;

/// Letters that look like those of GSM-7, and what stands for them.
const LOOK_ALIKES: &[(&str, &str)] = &[
    ("\u{2018}\u{2019}\u{201a}\u{201b}\u{2032}\u{b4}`\u{2bc}", "'"),
    ("\u{201c}\u{201d}\u{201e}\u{201f}\u{ab}\u{bb}\u{2033}", "\""),
    ("\u{2010}\u{2011}\u{2012}\u{2013}\u{2014}\u{2015}\u{2212}", "-"),
    ("\u{2026}", "..."),
    ("\u{2022}\u{b7}", "*"),
    ("\u{2039}", "<"),
    ("\u{203a}", ">"),
    ("\u{2044}\u{2215}", "/"),
    (
        "\u{a0}\u{2000}\u{2001}\u{2002}\u{2003}\u{2004}\u{2005}\u{2006}\u{2007}\u{2008}\u{2009}\
         \u{200a}\u{202f}\u{205f}\u{3000}",
        " ",
    ),
    // Zero width: a space, a joiner, a byte order mark, a soft hyphen.
    ("\u{200b}\u{2060}\u{feff}\u{ad}", ""),
];

/// The text with look-alikes (`’ “ – …`, unusual spaces) in GSM-7 letters, where that makes the
/// whole text GSM-7; otherwise as it is, because nothing would be gained. A word with `://` or
/// `www.` is a link and stays as it is.
#[must_use]
pub fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for word in text.split_inclusive([' ', '\n']) {
        if is_link(word) {
            plain.push_str(word);
        } else {
            word.chars().for_each(|c| push_plain(&mut plain, c));
        }
    }
    if plain.chars().all(|c| septets(c).is_some()) { plain } else { text.to_owned() }
}

/// The text without what no phone shows: control characters and direction overrides go, line
/// breaks become LF, tabs spaces, and there is no white space at the ends.
#[must_use]
pub fn tidy(text: &str) -> String {
    let lines = text.replace("\r\n", "\n").replace(['\r', '\u{85}', '\u{2028}', '\u{2029}'], "\n");
    let tidy: String = lines
        .chars()
        .map(|c| if c == '\t' { ' ' } else { c })
        .filter(|c| *c == '\n' || !c.is_control())
        .filter(|c| !matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'))
        .collect();
    tidy.trim().to_owned()
}

fn is_link(word: &str) -> bool {
    let word = word.to_ascii_lowercase();
    word.contains("://") || word.contains("www.")
}

fn push_plain(plain: &mut String, c: char) {
    match LOOK_ALIKES.iter().find(|(letters, _)| letters.contains(c)) {
        Some((_, letter)) => plain.push_str(letter),
        None => plain.push(c),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn look_alikes_are_replaced_where_it_pays() {
        for (text, expected) in [
            ("“It’s” – 5\u{a0}€…", "\"It's\" - 5 €..."),
            ("so\u{ad}ft\u{200b}", "soft"),
            ("«a» • b", "\"a\" * b"),
            // One emoji, and the text is UCS-2 anyway.
            ("It’s 😀", "It’s 😀"),
            // What a link holds is left alone, which keeps the text UCS-2.
            ("It’s https://shop.example/a–b", "It’s https://shop.example/a–b"),
            ("It’s\nHTTPS://shop.example/a-b now…", "It's\nHTTPS://shop.example/a-b now..."),
            ("", ""),
        ] {
            assert_eq!(plain(text), expected);
        }
    }

    #[test]
    fn what_no_phone_shows_is_left_out() {
        let text = " a\r\nb\rc\td\u{0}\u{202e}\u{85}e\u{2028}f \n";
        assert_eq!(tidy(text), "a\nb\nc d\ne\nf");
    }
}
