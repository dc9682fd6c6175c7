//! Which variant of an experiment is a customer's.

use crate::journey::Variant;
use crate::model::{CustomerId, Text, derive};

/// The variant of a customer: a hash of journey, step and customer, so the same each time they come,
/// and nothing that another experiment or the holdout goes by. `None` if there are no variants.
pub(super) fn variant_of<'a>(
    journey: &Text,
    step: &Text,
    variants: &'a [Variant],
    customer: CustomerId,
) -> Option<&'a Variant> {
    let parts: [&[u8]; 3] = [journey.as_bytes(), step.as_bytes(), &customer.to_bytes()];
    let all: u128 = variants.iter().map(|variant| u128::from(variant.weight)).sum();
    let mut place = derive("experiment", &parts) % all.max(1);
    variants.iter().find(|variant| {
        let weight = u128::from(variant.weight);
        let here = place < weight;
        place = place.saturating_sub(weight);
        here
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_say_how_many_go_each_way() {
        let of = |name: &str, weight| Variant { name: name.into(), weight, first: 0 };
        let variants = [of("short", 3), of("long", 1)];
        let variant = |step: &str, customer| {
            let (journey, step) = (Text::from("tea"), Text::from(step));
            let found = variant_of(&journey, &step, &variants, CustomerId(customer));
            found.expect("a variant").name.clone()
        };
        let short = (0..10_000).filter(|customer| variant("length", *customer) == "short").count();
        assert!((7_300..7_700).contains(&short), "{short} of 10,000");
        // Another experiment divides these anew.
        let both = (0..10_000)
            .filter(|one| variant("length", *one) == "short" && variant("colour", *one) == "short")
            .count();
        assert!((5_400..5_850).contains(&both), "{both} of 10,000");
        assert_eq!(variant("length", 7), variant("length", 7));
    }
}
