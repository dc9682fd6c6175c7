//! The products and the order of an XDM record.

use super::shape::{Commerce, Line, Record};
use crate::decode::Rejected;
use crate::decode::fields::{
    InList, amount, count, id, label, options, price_of_one, quantity, url, usual_items,
};
use crate::decode::loose::{List, first_known};
use crate::model::{Amount, Currency, EventName, Item, ItemFacts, ItemsAre, OrderFacts, Text};

/// The items, and what they mean for the cart.
///
/// # Errors
/// [`Rejected`] naming the item and its field.
pub(super) fn items(
    record: &Record<'_>,
    name: &EventName,
) -> Result<(Vec<Item>, ItemsAre), Rejected> {
    let meant = usual_items(name);
    let Some(List(lines)) = &record.product_list_items else {
        // Nothing said about products: that is no statement that there are none.
        return Ok((Vec::new(), ItemsAre::Mentioned));
    };
    if lines.is_empty() && *name == EventName::CheckoutStarted {
        // Nobody checks out an empty cart: stored events come with their products left out.
        return Ok((Vec::new(), ItemsAre::Mentioned));
    }
    let mut items = Vec::with_capacity(lines.len());
    for (at, line) in lines.iter().enumerate() {
        items.push(item(line, at, name)?);
    }
    Ok((items, meant))
}

fn item(line: &Line<'_>, at: usize, name: &EventName) -> Result<Item, Rejected> {
    let field = |field: &'static str| InList { list: "productListItems", at, field };
    let sku = match id(line.sku.text(), field("SKU"))? {
        Some(sku) => sku,
        None => id(line.name.text(), field("name"))?.ok_or_else(|| {
            Rejected::new(format!("{}: an item needs a SKU or a name", field("SKU")))
        })?,
    };
    let stated = count(line.quantity.text(), field("quantity"))?;
    let mut item = Item { sku, quantity: quantity(stated, name), ..Item::default() };
    let total = amount(line.price_total.text(), field("priceTotal"))?;
    if *name == EventName::ProductViewed {
        item.price = total;
    } else {
        price_of_one(&mut item, total);
    }
    item.currency = line.currency_code.text().and_then(|code| Currency::new(&code));
    let mut facts = ItemFacts {
        options: Text::default(),
        name: label(line.name.known()),
        category: category(line),
        brand: label(line.brand.known()),
        image: url(line.product_image_url.text()),
        url: url(line.product_url.text()),
    };
    if let Some(List(chosen)) = &line.selected_options {
        let pairs =
            chosen.iter().filter_map(|one| Some((one.attribute.text()?, one.value.text()?)));
        facts.options = options(pairs.collect(), field("selectedOptions"))?;
    }
    item.facts = facts.boxed();
    Ok(item)
}

fn category(line: &Line<'_>) -> Option<Text> {
    let lists = [&line.product_categories, &line.categories];
    let named = lists.into_iter().flatten().flat_map(|list| &list.0).find_map(|category| {
        first_known(&[
            category.category_path,
            category.path,
            category.category_name,
            category.name,
            category.category_id,
            category.id,
        ])
    });
    label(named.or_else(|| line.category_id.known()))
}

/// What the record says of its order.
///
/// # Errors
/// [`Rejected`] naming the field.
pub(super) fn order(record: &Record<'_>, name: &EventName) -> Result<OrderFacts, Rejected> {
    let mut facts = OrderFacts::default();
    let Some(commerce) = &record.commerce else { return Ok(facts) };
    facts.coupon = id(commerce.promotion_id.text(), "commerce.promotionID")?;
    if let Some(order) = &commerce.order {
        facts.id = id(order.purchase_id.text(), "commerce.order.purchaseID")?;
        facts.total = amount(order.price_total.text(), "commerce.order.priceTotal")?;
        facts.discount = amount(order.discount_amount.text(), "commerce.order.discountAmount")?;
        facts.currency = order.currency_code.text().and_then(|code| Currency::new(&code));
        let coupon = id(order.coupon_code.text(), "commerce.order.couponCode")?;
        facts.coupon = coupon.or(facts.coupon);
        if let Some(List(payments)) = &order.payments {
            // Back-office orders state their payments, not their total.
            let mut paid = None;
            for payment in payments {
                let one = amount(payment.payment_amount.text(), "commerce.order.payments")?;
                paid = sum(paid, one);
                facts.currency = facts
                    .currency
                    .or_else(|| payment.currency_code.text().and_then(|code| Currency::new(&code)));
            }
            facts.total = facts.total.or(paid);
        }
    }
    if let Some(shipping) = &commerce.shipping {
        facts.shipping = label(shipping.shipping_method.known());
        facts.tracking = label(shipping.tracking_number.known());
        facts.tracking_url = url(shipping.tracking_url.text());
        facts.currency = facts
            .currency
            .or_else(|| shipping.currency_code.text().and_then(|code| Currency::new(&code)));
    }
    if *name == EventName::OrderRefunded {
        facts.refunded = refunded(record, commerce)?;
    }
    if let Some(scope) = &commerce.scope {
        let parts = [
            [scope.environment_id, scope.environment],
            [scope.website_code, scope.website],
            [scope.store_code, scope.store],
        ];
        let known: Vec<_> = parts.iter().filter_map(|part| first_known(part)).collect();
        facts.scope =
            id(Some(known.join("/").into()), "commerce.commerceScope")?.unwrap_or_default();
    }
    Ok(facts)
}

/// The sum refunded, wherever the source states it.
fn refunded(record: &Record<'_>, commerce: &Commerce<'_>) -> Result<Option<Amount>, Rejected> {
    let in_order = commerce.order.as_ref();
    let total = in_order.map_or_else(Default::default, |order| order.refund_total);
    if let Some(total) = amount(total.text(), "commerce.order.refundTotal")? {
        return Ok(Some(total));
    }
    let refunds = commerce.refunds.as_ref().or_else(|| in_order?.refunds.as_ref());
    let mut refunded = None;
    for refund in refunds.map_or(&[][..], |list| &list.0) {
        let stated = first_known(&[refund.refund_amount, refund.refund_ammount]);
        refunded = sum(refunded, amount(stated, "commerce.refunds.refundAmount")?);
    }
    if refunded.is_some() {
        return Ok(refunded);
    }
    for line in record.product_list_items.as_ref().map_or(&[][..], |list| &list.0) {
        let of_line = first_known(&[line.refund_amount, line.refund_ammount]);
        refunded = sum(refunded, amount(of_line, "productListItems.refundAmount")?);
    }
    Ok(refunded)
}

fn sum(so_far: Option<Amount>, one: Option<Amount>) -> Option<Amount> {
    match (so_far, one) {
        (Some(a), Some(b)) => a.plus(b).or(Some(a)),
        (a, b) => a.or(b),
    }
}
