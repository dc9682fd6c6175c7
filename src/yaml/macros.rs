//! Declarations of what files hold: mappings with named fields, words, texts with a schema.

/// Declares a mapping: a struct, its reader and its JSON Schema.
///
/// ```text
/// record! {
///     /// What it is.
///     pub struct Goal("goal") {
///         /// The event.
///         event "event": required Spanned<EventName>,
///         /// Within what time.
///         within "within": optional Delay,
///     }
/// }
/// ```
///
/// A `required` field that can't be read leaves nothing of the mapping; of a `needed` one, whose
/// absence is reported as well, the rest of the mapping can still be checked.
/// A required field that is missing and a key that is not declared are reported. An optional field
/// that can't be read counts as absent, so that what comes after can still be checked: whoever
/// uses the result asks the report for errors first.
macro_rules! record {
    (
        $(#[$meta:meta])*
        $vis:vis struct $name:ident($of:literal) {
            $(
                $(#[$field_meta:meta])*
                $field:ident $key:literal : $need:ident $ty:ty,
            )*
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, schemars::JsonSchema)]
        #[schemars(deny_unknown_fields)]
        $vis struct $name {
            $(
                $(#[$field_meta])*
                #[schemars(rename = $key)]
                $vis $field: $crate::yaml::record!(@type $need $ty),
            )*
        }

        impl $crate::yaml::Read for $name {
            fn read(
                node: &$crate::yaml::Node,
                reader: &mut $crate::yaml::Reader<'_>,
            ) -> Option<Self> {
                const KNOWN: &[&str] = &[$($key),*];
                let entries = reader.entries(node, $of, KNOWN)?;
                $(
                    let $field = entries
                        .iter()
                        .find(|(key, _)| *key == $key)
                        .map(|(_, value)| <$ty as $crate::yaml::Read>::read(value, reader));
                    let $field =
                        $crate::yaml::record!(@value $need $field, reader, node, $of, $key, KNOWN);
                )*
                Some(Self { $($field: $field?,)* })
            }
        }
    };
    (@type required $ty:ty) => { $ty };
    (@type needed $ty:ty) => { $crate::yaml::Needed<$ty> };
    (@type optional $ty:ty) => { Option<$ty> };
    (@value required $field:ident, $reader:ident, $node:ident, $of:literal, $key:literal, $known:expr) => {
        match $field {
            Some(read) => read,
            None => $reader.missing($node, $of, $key, $known),
        }
    };
    (@value needed $field:ident, $reader:ident, $node:ident, $of:literal, $key:literal, $known:expr) => {
        match $field {
            Some(read) => Some($crate::yaml::Needed(read)),
            None => Some($crate::yaml::Needed($reader.missing($node, $of, $key, $known))),
        }
    };
    (@value optional $field:ident, $reader:ident, $node:ident, $of:literal, $key:literal, $known:expr) => {
        Some($field.flatten())
    };
}
pub(crate) use record;

/// Declares, for types that are a choice of words, how they are read and their JSON Schema.
macro_rules! word_values {
    ($($ty:ty { $($word:literal => $value:expr,)* })*) => {$(
        impl $crate::yaml::Read for $ty {
            fn read(node: &$crate::yaml::Node, reader: &mut $crate::yaml::Reader<'_>) -> Option<Self> {
                $crate::yaml::words(node, reader, &[$(($word, $value)),*])
            }
        }

        impl schemars::JsonSchema for $ty {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($ty).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "enum": [$($word),*] })
            }
        }
    )*};
}
pub(crate) use word_values;

/// Declares the JSON Schema of types that are read by rules of their own.
macro_rules! text_schema {
    ($($ty:ty, $schema:tt;)*) => {$(
        impl schemars::JsonSchema for $ty {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($ty).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!($schema)
            }
        }
    )*};
}
pub(crate) use text_schema;
