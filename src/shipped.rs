//! The journeys and templates that ship, so that the demo runs from any folder.
//!
//! Each file is named here; a test holds the lists against `journeys` and `templates`.

use crate::journey::SourceFile;
use crate::template::TemplateFile;

/// Files of this folder, each with its path below it and what it holds.
macro_rules! files {
    ($folder:literal: $($path:literal),* $(,)?) => {
        &[$(($path, include_str!(concat!("../", $folder, "/", $path)))),*]
    };
}

const JOURNEYS: &[(&str, &str)] = files!("journeys":
    "abandoned-browse.yaml",
    "abandoned-cart.yaml",
    "abandoned-checkout.yaml",
    "post-purchase.yaml",
    "welcome.yaml",
    "win-back.yaml",
);

const TEMPLATES: &[(&str, &str)] = files!("templates":
    "_brand.yaml",
    "_layout.mjml",
    "_partials/cart.mjml",
    "_partials/cart.nl.mjml",
    "_partials/footer.mjml",
    "_partials/footer.nl.mjml",
    "_partials/header.mjml",
    "_partials/product.mjml",
    "abandoned-browse/first/email.mjml",
    "abandoned-browse/first/email.nl.mjml",
    "abandoned-browse/first/sample.json",
    "abandoned-cart/first/email.mjml",
    "abandoned-cart/first/email.nl.mjml",
    "abandoned-cart/first/sample.json",
    "abandoned-cart/last/email.mjml",
    "abandoned-cart/last/email.nl.mjml",
    "abandoned-cart/last/sample.json",
    "abandoned-cart/second/email.mjml",
    "abandoned-cart/second/email.nl.mjml",
    "abandoned-cart/second/sample.json",
    "abandoned-checkout/first/email.mjml",
    "abandoned-checkout/first/email.nl.mjml",
    "abandoned-checkout/first/sample.json",
    "abandoned-checkout/second/email.mjml",
    "abandoned-checkout/second/email.nl.mjml",
    "abandoned-checkout/second/sample.json",
    "abandoned-checkout/second/sms.nl.txt",
    "abandoned-checkout/second/sms.txt",
    "post-purchase/cross-sell/email.mjml",
    "post-purchase/cross-sell/email.nl.mjml",
    "post-purchase/cross-sell/sample.json",
    "post-purchase/thanks/email.mjml",
    "post-purchase/thanks/email.nl.mjml",
    "post-purchase/thanks/sample.json",
    "welcome/first/email.mjml",
    "welcome/first/email.nl.mjml",
    "welcome/first/sample.json",
    "win-back/first/email.mjml",
    "win-back/first/email.nl.mjml",
    "win-back/first/sample.json",
);

/// The journeys, shown as files of `journeys`.
#[must_use]
pub fn journeys() -> Vec<SourceFile> {
    let file = |(path, text): &(&str, &str)| SourceFile::new(format!("journeys/{path}"), *text);
    JOURNEYS.iter().map(file).collect()
}

/// The templates, by their paths below `templates`.
#[must_use]
pub fn templates() -> Vec<TemplateFile> {
    let file = |(path, text): &(&str, &str)| TemplateFile {
        path: (*path).to_owned(),
        bytes: text.as_bytes().to_vec(),
    };
    TEMPLATES.iter().map(file).collect()
}
