//! Every code, with its meaning. A code is never given another meaning.

macro_rules! codes {
    ($($variant:ident = $code:literal, $meaning:literal;)*) => {
        /// The stable code of a kind of message.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $(#[doc = $meaning] $variant,)*
        }

        impl Code {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The code, such as `E0101`.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $code,)* }
            }

            /// What it means, in one line.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning,)* }
            }
        }
    };
}

codes! {
    Yaml = "E0101", "The file is not valid YAML.";
    YamlFeature = "E0102", "The file uses a part of YAML that these files do without: anchors, aliases, tags, several documents.";
    TooLarge = "E0103", "The file, or something in it, is larger than the limit.";
    YamlTrap = "E0104", "YAML tools read this value in different ways; quotes make it certain.";
    UnknownField = "E0201", "A field of this name does not exist here.";
    MissingField = "E0202", "A field that is needed is missing.";
    DuplicateField = "E0203", "A field is given twice.";
    WrongShape = "E0204", "A value has the wrong shape, such as a list where a text belongs.";
    BadValue = "E0205", "A value is not one of those that are possible here.";
    BadDuration = "E0206", "A text is no duration, or one beyond the limits.";
    UnknownZone = "E0207", "A time zone of this name does not exist.";
    BadSchedule = "E0208", "A text is no five-field schedule.";
    Conflict = "E0209", "Two things that are given exclude each other.";
    UnknownEvent = "E0301", "An event's name is misspelt.";
    UnknownTemplate = "E0302", "A template's folder does not exist.";
    UnknownJourney = "E0303", "A journey that is named does not exist.";
    DuplicateJourney = "E0304", "Two files declare one journey.";
    DuplicateStep = "E0305", "Two steps have one id.";
    Unreachable = "E0306", "A step can never be reached.";
    LaterLanguage = "E0307", "A step belongs to the language, but this version does not have it yet.";
    NoOrderStop = "E0308", "A journey about a cart goes on after an order.";
    ConditionSyntax = "E0401", "A condition is not written correctly.";
    UnknownName = "E0402", "A condition names a variable, field or function that does not exist.";
    TypeMismatch = "E0403", "A condition puts together what does not go together.";
    OutOfScope = "E0404", "A condition reads a variable that means nothing at this place.";
    TemplateFile = "E0501", "A file is no part of a template, or does not fit the others of its folder.";
    TemplateSyntax = "E0502", "Handlebars is not written correctly, or uses a part of it that templates do without.";
    UnknownPartial = "E0503", "A partial does not exist, or contains itself.";
    UnknownVariable = "E0504", "A template names a variable or function that does not exist.";
    MayBeMissing = "E0505", "A template uses a value that may be missing, and does not say what then.";
    WrongUse = "E0506", "A value is printed, or given to a function or block, that it does not fit.";
    UnsafePlace = "E0507", "A variable stands where it can't be made safe, such as in a style.";
    Markup = "E0508", "The MJML or HTML of a template is wrong.";
    BadSample = "E0509", "A template's sample is missing or does not fit, or the template can't be rendered with it.";
    NoChannel = "E0510", "A message step names a template that has nothing for its channel.";
    NoUnsubscribe = "E0511", "A marketing mail does not say how to unsubscribe, or where the shop is.";
}

#[cfg(test)]
mod tests {
    use super::Code;

    #[test]
    fn codes_are_unique_and_in_order() {
        let codes: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
        let mut sorted = codes.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(codes, sorted);
    }
}
