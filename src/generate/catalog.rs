//! The products of the made-up shop: 300 of them, the same for every seed.

use super::rng::Rng;

/// One product.
pub(super) struct Product {
    /// Stock keeping unit.
    pub(super) sku: String,
    /// Name as shown in the shop.
    pub(super) name: String,
    /// Price in cents of the shop's currency.
    pub(super) price_cents: i64,
    /// Where it belongs.
    pub(super) category: &'static Category,
    /// Address of the picture.
    pub(super) image: String,
    /// Address of the product page.
    pub(super) url: String,
}

/// One shelf of the shop.
pub(super) struct Category {
    /// The category's id.
    pub(super) id: &'static str,
    /// Name as shown in the shop.
    pub(super) name: &'static str,
    /// The way to it from the top.
    pub(super) path: &'static str,
    /// The option a buyer chooses, and its values; none for things of one size.
    pub(super) option: Option<(&'static str, &'static [&'static str])>,
    nouns: [&'static str; 5],
    lowest_cents: i64,
}

/// The shop's address.
pub(super) const SHOP_URL: &str = "https://www.fernhill.example";

const ADJECTIVES: [&str; 5] = ["Brisk", "Cedar", "Harbor", "Quiet", "Summit"];
const SIZES: &[&str] = &["S", "M", "L", "XL"];
const SHOE_SIZES: &[&str] = &["38", "40", "42", "44"];
const COLORS: &[&str] = &["black", "green", "sand"];

macro_rules! category {
    ($id:literal, $name:literal, $path:literal, $option:expr, $cents:literal, $nouns:expr) => {
        Category {
            id: $id,
            name: $name,
            path: $path,
            option: $option,
            nouns: $nouns,
            lowest_cents: $cents,
        }
    };
}

/// Every shelf; each holds its five nouns with each of the five adjectives.
pub(super) static CATEGORIES: [Category; 12] = [
    category!(
        "11",
        "Jackets",
        "clothing/jackets",
        Some(("size", SIZES)),
        7_900,
        ["Rain Jacket", "Down Jacket", "Windbreaker", "Parka", "Softshell"]
    ),
    category!(
        "12",
        "Shirts",
        "clothing/shirts",
        Some(("size", SIZES)),
        1_995,
        ["T-Shirt", "Merino Shirt", "Flannel Shirt", "Polo", "Base Layer"]
    ),
    category!(
        "13",
        "Pants",
        "clothing/pants",
        Some(("size", SIZES)),
        4_495,
        ["Hiking Pants", "Shorts", "Leggings", "Rain Pants", "Chinos"]
    ),
    category!(
        "14",
        "Accessories",
        "clothing/accessories",
        Some(("color", COLORS)),
        995,
        ["Beanie", "Scarf", "Gloves", "Socks", "Belt"]
    ),
    category!(
        "21",
        "Boots",
        "shoes/boots",
        Some(("size", SHOE_SIZES)),
        9_995,
        ["Hiking Boot", "Winter Boot", "Chelsea Boot", "Work Boot", "Rubber Boot"]
    ),
    category!(
        "22",
        "Running",
        "shoes/running",
        Some(("size", SHOE_SIZES)),
        6_995,
        ["Trail Shoe", "Road Shoe", "Racing Flat", "Track Spike", "Recovery Slide"]
    ),
    category!(
        "31",
        "Tents",
        "camping/tents",
        None,
        12_900,
        ["Dome Tent", "Tunnel Tent", "Tarp", "Bivy", "Family Tent"]
    ),
    category!(
        "32",
        "Sleeping",
        "camping/sleeping",
        None,
        3_495,
        ["Sleeping Bag", "Air Mat", "Foam Mat", "Pillow", "Hammock"]
    ),
    category!(
        "33",
        "Kitchen",
        "camping/kitchen",
        None,
        795,
        ["Stove", "Cook Set", "Mug", "Water Bottle", "Coffee Press"]
    ),
    category!(
        "41",
        "Backpacks",
        "bags/backpacks",
        Some(("color", COLORS)),
        3_995,
        ["Daypack", "Trekking Pack", "Commuter Pack", "Bike Pack", "Child Carrier"]
    ),
    category!(
        "42",
        "Travel",
        "bags/travel",
        Some(("color", COLORS)),
        2_495,
        ["Duffel", "Roller Bag", "Packing Cube", "Toilet Bag", "Dry Bag"]
    ),
    category!(
        "51",
        "Lights",
        "electronics/lights",
        None,
        1_495,
        ["Headlamp", "Lantern", "Bike Light", "Torch", "String Light"]
    ),
];

/// Makes every product, in an order of its own: earlier ones are meant to be more popular.
pub(super) fn products() -> Vec<Product> {
    let mut rng = Rng::new(300, 0);
    let mut products = Vec::with_capacity(300);
    for adjective in ADJECTIVES {
        for noun_index in 0..5 {
            for category in &CATEGORIES {
                products.push(product(category, adjective, noun_index, &mut rng));
            }
        }
    }
    products
}

fn product(
    category: &'static Category,
    adjective: &str,
    noun_index: usize,
    rng: &mut Rng,
) -> Product {
    let name = format!("{adjective} {}", category.nouns[noun_index]);
    let slug = name.to_lowercase().replace(' ', "-");
    Product {
        sku: format!("FH-{}-{}{}", category.id, &adjective[..1], noun_index + 1),
        // Prices end in the five or zero cents that the shelf's lowest price ends in.
        price_cents: category.lowest_cents * rng.between(4, 12) / 4 / 5 * 5,
        image: format!("{SHOP_URL}/media/{slug}.jpg"),
        url: format!("{SHOP_URL}/{}/{slug}.html", category.path),
        name,
        category,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn three_hundred_products_with_their_own_names() {
        let products = products();
        assert_eq!(products.len(), 300);
        let skus: BTreeSet<&str> = products.iter().map(|product| product.sku.as_str()).collect();
        let urls: BTreeSet<&str> = products.iter().map(|product| product.url.as_str()).collect();
        assert_eq!((skus.len(), urls.len()), (300, 300));
        assert!(products.iter().all(|product| product.price_cents >= 795));
    }
}
