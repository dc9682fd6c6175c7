//! What the back office tells of an order: late, and up to days after it was placed.

use crate::model::{HOUR_MS, MINUTE_MS, SECOND_MS};

use super::json::{Json, instant};
use super::lines::new_id;
use super::people::{Household, Line};
use super::rng::Rng;
use super::shop::{Shop, Task};
use super::summary::{Tag, mark};
use super::xdm::{self, Channel, Envelope};

/// An order on its way through the back office.
pub(super) struct Order {
    /// Whose it is.
    pub(super) household: usize,
    /// Who of the household placed it.
    pub(super) person: usize,
    /// The order number.
    pub(super) number: String,
    /// What was bought.
    pub(super) lines: Vec<Line>,
    /// The device on which it was placed, where the back office learns of it.
    pub(super) ecid: Option<String>,
    /// How it was placed.
    pub(super) channel: Channel,
    /// When it was placed.
    pub(super) placed: i64,
    /// The storefront told of it too, under its number.
    pub(super) told_before: bool,
    /// What the back office tells next.
    pub(super) stage: Stage,
    /// What becomes of it is drawn from here.
    pub(super) rng: Rng,
}

/// What the back office can tell of an order.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Placed,
    Invoiced,
    Shipped,
    Completed,
    Cancelled,
    Refunded,
    ReturnStarted,
    ReturnCompleted,
}

/// The order number as the shop writes it.
pub(super) fn order_number(number: u32) -> String {
    format!("{number:09}")
}

/// What the lines cost together, in cents.
pub(super) fn total_cents(shop: &Shop, lines: &[Line]) -> i64 {
    lines.iter().map(|line| shop.products[line.product].price_cents * line.quantity).sum()
}

impl Order {
    /// Tells what happened to the order, as it arrives at `now`, and plans what happens next.
    pub(super) fn go_on(mut self: Box<Self>, now: i64, home: &Household, shop: &mut Shop) {
        // The feed takes orders in batches; the first report takes even longer, see `placed`.
        let time = match self.stage {
            Stage::Placed => self.placed,
            _ => now - self.rng.between(30 * SECOND_MS, 15 * MINUTE_MS),
        };
        let marks = match self.stage {
            Stage::Placed if self.told_before => mark::ORDER_AGAIN,
            Stage::Placed => mark::ORDER,
            _ => 0,
        };
        let line = self.write(time, home, shop);
        let tag = Tag { kind: self.stage.event_type(), marks, ..Tag::default() };
        shop.lines.put(now, tag, line);
        if let Some((stage, delay_ms)) = self.stage.next(&mut self.rng) {
            self.stage = stage;
            shop.plan(now + delay_ms, Task::Order(self));
        }
    }

    fn write(&mut self, time: i64, home: &Household, shop: &Shop) -> Vec<u8> {
        let id = new_id(&mut self.rng);
        let envelope = Envelope {
            id: &id,
            time,
            kind: self.stage.event_type(),
            ecid: self.ecid.as_deref(),
            account: None,
            email: Some(&home.people[self.person].email),
            channel: self.channel,
            wrapped: false,
        };
        let stage = self.stage;
        let mut json = Json::default();
        xdm::event(&mut json, &envelope, |json| {
            xdm::commerce(json, home.country, "", |json| {
                json.object("order", |json| self.order_facts(json, time, home, shop));
                if matches!(
                    stage,
                    Stage::Invoiced | Stage::Placed | Stage::Shipped | Stage::Completed
                ) {
                    json.object("shipping", |json| self.shipping_facts(json, time, home));
                }
                if stage == Stage::Refunded {
                    json.object("refunds", |json| {
                        json.text("transactionID", &self.number);
                        json.cents("refundAmount", total_cents(shop, &self.lines));
                        json.text("refundPaymentType", "credit card");
                        json.text("currencyCode", home.country.currency);
                    });
                }
            });
            // A cancellation names the order alone.
            if stage != Stage::Cancelled {
                xdm::items(json, &shop.products, &self.lines, home.country);
            }
        });
        json.into_bytes()
    }

    fn order_facts(&self, json: &mut Json, time: i64, home: &Household, shop: &Shop) {
        let total = total_cents(shop, &self.lines);
        json.text("purchaseID", &self.number);
        match self.stage {
            Stage::Placed => {
                payments(json, &self.number, total, home.country.currency);
                json.cents("taxAmount", total * 21 / 121);
                json.number("discountAmount", 0);
                json.text("createdDate", &instant(self.placed));
                json.text("currencyCode", home.country.currency);
            }
            Stage::Invoiced | Stage::Shipped | Stage::Completed => {
                json.cents("priceTotal", total);
                json.text("currencyCode", home.country.currency);
                payments(json, &self.number, total, home.country.currency);
                json.text("lastUpdatedDate", &instant(time));
            }
            Stage::Cancelled => json.text("cancelDate", &instant(time)),
            Stage::Refunded => json.text("lastUpdatedDate", &instant(time)),
            Stage::ReturnStarted | Stage::ReturnCompleted => {
                let done = self.stage == Stage::ReturnCompleted;
                json.object("returns", |json| {
                    json.text("returnID", &format!("R{}", self.number));
                    json.text(
                        "returnStatus",
                        if done { "Processed and Closed" } else { "Pending" },
                    );
                });
            }
        }
    }

    fn shipping_facts(&self, json: &mut Json, time: i64, home: &Household) {
        json.text("shippingMethod", "ground");
        json.cents("shippingAmount", 495);
        json.text("currencyCode", home.country.currency);
        if self.stage == Stage::Shipped {
            let tracking = format!("{}{}", home.country.code, self.number);
            json.text("trackingNumber", &tracking);
            json.text("trackingURL", &format!("https://track.carrier.example/{tracking}"));
        }
        if self.stage == Stage::Completed {
            json.text("shipDate", &instant(time));
        }
    }
}

impl Stage {
    /// Adobe's `eventType` for it.
    const fn event_type(self) -> &'static str {
        match self {
            Self::Placed => "commerce.backofficeOrderPlaced",
            Self::Invoiced => "commerce.backofficeOrderInvoiced",
            Self::Shipped => "commerce.backofficeOrderItemsShipped",
            Self::Completed => "commerce.backofficeOrderShipmentCompleted",
            Self::Cancelled => "commerce.backofficeOrderCancelled",
            Self::Refunded => "commerce.backofficeCreditMemoIssued",
            Self::ReturnStarted => "commerce.backofficeOrderItemsReturnInitiated",
            Self::ReturnCompleted => "commerce.backofficeOrderItemsReturnCompleted",
        }
    }

    /// What comes next and after how many milliseconds; nothing after the last.
    fn next(self, rng: &mut Rng) -> Option<(Self, i64)> {
        let (stage, low_hours, high_hours) = match self {
            Self::Placed if rng.chance(40) => (Self::Cancelled, 1, 6),
            Self::Placed => (Self::Invoiced, 1, 10),
            Self::Invoiced => (Self::Shipped, 4, 24),
            Self::Shipped => (Self::Completed, 12, 40),
            Self::Completed => match rng.weighted(&[88, 5, 7]) {
                0 => return None,
                1 => (Self::Refunded, 8, 40),
                _ => (Self::ReturnStarted, 8, 40),
            },
            Self::ReturnStarted => (Self::ReturnCompleted, 16, 48),
            Self::ReturnCompleted => (Self::Refunded, 1, 24),
            Self::Cancelled | Self::Refunded => return None,
        };
        Some((stage, rng.between(low_hours * HOUR_MS, high_hours * HOUR_MS)))
    }
}

/// `payments` of an order: one, of the whole amount.
pub(super) fn payments(json: &mut Json, transaction: &str, cents: i64, currency: &str) {
    json.array("payments", |json| {
        json.element(|json| {
            json.cents("paymentAmount", cents);
            json.text("paymentType", "credit card");
            json.text("transactionID", transaction);
            json.text("currencyCode", currency);
        });
    });
}
