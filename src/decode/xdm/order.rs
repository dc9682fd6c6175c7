//! The products and the order of an XDM record.

use super::shape::{Commerce, Line, Order, Record};
use crate::decode::Rejected;
use crate::decode::fields::{
    InList, Reading, amount, count, id, label, options, price_of_one, quantity, url, usual_items,
};
use crate::decode::loose::{Part, first_known};
use crate::model::{Amount, Currency, EventName, Item, ItemFacts, ItemsAre, OrderFacts, Text};

/// The items, and what they mean for the cart.
///
/// # Errors
/// [`Rejected`] naming the item and its field.
pub(super) fn items(
    record: &Record<'_>,
    name: &EventName,
    reading: Reading,
) -> Result<(Vec<Item>, ItemsAre), Rejected> {
    let meant = usual_items(name);
    let lines = reading.fact(record.product_list_items.known("productListItems"))?;
    let Some(lines) = lines else {
        // Nothing said about products: that is no statement that there are none.
        return Ok((Vec::new(), ItemsAre::Mentioned));
    };
    if lines.is_empty() && *name == EventName::CheckoutStarted {
        // Nobody checks out an empty cart: stored events come with their products left out.
        return Ok((Vec::new(), ItemsAre::Mentioned));
    }
    let mut items = Vec::with_capacity(lines.len());
    for (at, line) in lines.iter().enumerate() {
        items.extend(reading.fact(item(line, at, name, reading))?);
    }
    Ok((items, meant))
}

fn item(
    line: &Part<Line<'_>>,
    at: usize,
    name: &EventName,
    reading: Reading,
) -> Result<Option<Item>, Rejected> {
    let field = |field: &'static str| InList { list: "productListItems", at, field };
    let Some(line) = line.known(field(""))? else { return Ok(None) };
    let sku = match id(line.sku.text(), field("SKU"))? {
        Some(sku) => sku,
        None => id(line.name.text(), field("name"))?.ok_or_else(|| {
            Rejected::new(format!("{}: an item needs a SKU or a name", field("SKU")))
        })?,
    };
    // Without knowing of how many the total is, the price of one is not known.
    let stated = reading.fact(count(line.quantity.text(), field("quantity")).map(Some))?;
    let mut item = Item { sku, quantity: quantity(stated.flatten(), name), ..Item::default() };
    let total = reading.fact(amount(line.price_total.text(), field("priceTotal")))?;
    if *name == EventName::ProductViewed {
        item.price = total;
    } else {
        price_of_one(&mut item, total.filter(|_| stated.is_some()));
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
    let chosen = reading.fact(line.selected_options.known(field("selectedOptions")))?;
    if let Some(chosen) = chosen {
        let pairs = chosen
            .iter()
            .filter_map(Part::get)
            .filter_map(|one| Some((one.attribute.text()?, one.value.text()?)));
        let joined = options(pairs.collect(), field("selectedOptions"));
        facts.options = reading.fact(joined)?;
    }
    item.facts = facts.boxed();
    Ok(Some(item))
}

fn category(line: &Line<'_>) -> Option<Text> {
    let lists = line.product_categories.get().iter().chain(line.categories.get());
    let named = lists.filter_map(Part::get).find_map(|category| {
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
pub(super) fn order(
    record: &Record<'_>,
    name: &EventName,
    reading: Reading,
) -> Result<OrderFacts, Rejected> {
    let mut facts = OrderFacts::default();
    let commerce = reading.fact(record.commerce.known("commerce"))?;
    let Some(commerce) = commerce else { return Ok(facts) };
    facts.coupon = reading.fact(id(commerce.promotion_id.text(), "commerce.promotionID"))?;
    if let Some(order) = reading.fact(commerce.order.known("commerce.order"))? {
        facts.id = reading.fact(id(order.purchase_id.text(), "commerce.order.purchaseID"))?;
        let total = amount(order.price_total.text(), "commerce.order.priceTotal");
        facts.total = reading.fact(total)?;
        let discount = amount(order.discount_amount.text(), "commerce.order.discountAmount");
        facts.discount = reading.fact(discount)?;
        facts.currency = order.currency_code.text().and_then(|code| Currency::new(&code));
        let coupon = reading.fact(id(order.coupon_code.text(), "commerce.order.couponCode"))?;
        facts.coupon = coupon.or(facts.coupon);
        // Back-office orders state their payments, not their total.
        let (paid, currency) = reading.fact(payments(order))?;
        facts.currency = facts.currency.or(currency);
        facts.total = facts.total.or(paid);
    }
    if let Some(shipping) = reading.fact(commerce.shipping.known("commerce.shipping"))? {
        facts.shipping = label(shipping.shipping_method.known());
        facts.tracking = label(shipping.tracking_number.known());
        facts.tracking_url = url(shipping.tracking_url.text());
        facts.currency = facts
            .currency
            .or_else(|| shipping.currency_code.text().and_then(|code| Currency::new(&code)));
    }
    if *name == EventName::OrderRefunded {
        facts.refunded = reading.fact(refunded(record, commerce))?;
    }
    if let Some(scope) = reading.fact(commerce.scope.known("commerce.commerceScope"))? {
        let parts = [
            [scope.environment_id, scope.environment],
            [scope.website_code, scope.website],
            [scope.store_code, scope.store],
        ];
        let known: Vec<_> = parts.iter().filter_map(|part| first_known(part)).collect();
        let scope = id(Some(known.join("/").into()), "commerce.commerceScope");
        facts.scope = reading.fact(scope)?.unwrap_or_default();
    }
    Ok(facts)
}

/// The sum of the payments, known only if each of them is, and their currency.
fn payments(order: &Order<'_>) -> Result<(Option<Amount>, Option<Currency>), Rejected> {
    let (mut paid, mut currency) = (None, None);
    let payments = order.payments.known("commerce.order.payments")?;
    for (at, payment) in payments.unwrap_or_default().iter().enumerate() {
        let field = |field| InList { list: "commerce.order.payments", at, field };
        let Some(payment) = payment.known(field(""))? else { continue };
        paid = sum(paid, amount(payment.payment_amount.text(), field("paymentAmount"))?);
        currency =
            currency.or_else(|| payment.currency_code.text().and_then(|code| Currency::new(&code)));
    }
    Ok((paid, currency))
}

/// The sum refunded, wherever the source states it.
fn refunded(record: &Record<'_>, commerce: &Commerce<'_>) -> Result<Option<Amount>, Rejected> {
    let in_order = commerce.order.get();
    let total = in_order.map_or_else(Default::default, |order| order.refund_total);
    if let Some(total) = amount(total.text(), "commerce.order.refundTotal")? {
        return Ok(Some(total));
    }
    let refunds = match commerce.refunds.known("commerce.refunds")? {
        Some(refunds) => Some(refunds),
        None => in_order
            .map(|order| order.refunds.known("commerce.order.refunds"))
            .transpose()?
            .flatten(),
    };
    let mut refunded = None;
    for refund in refunds.unwrap_or_default().iter().filter_map(Part::get) {
        let stated = first_known(&[refund.refund_amount, refund.refund_ammount]);
        refunded = sum(refunded, amount(stated, "commerce.refunds.refundAmount")?);
    }
    if refunded.is_some() {
        return Ok(refunded);
    }
    for line in record.product_list_items.get().iter().filter_map(Part::get) {
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
