//! Folds cart events and orders into carts.
//!
//! Adobe's adds, removals and opens carry what changed; views, checkouts and purchases carry the
//! whole cart; a cart may shrink unseen; a purchase names no cart.

use crate::model::{Event, EventName, Item, ItemFacts, ItemsAre, Text, Tie, Timestamp};

use super::state::{CART_LINES_MAX, CARTS_MAX, Cart, CustomerState, fnv};
use super::weight::{CART_BYTES_MAX, of_carts, of_item, of_items};

/// An open and an add of the same items within this time are one, in milliseconds.
const PAIR_MS: i64 = 10_000;

/// What an event did to a cart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct CartFold {
    /// The cart the event belongs to.
    pub key: Option<Text>,
    /// Whether the cart's lines changed.
    pub changed: bool,
    /// Whether the cart lost its last line, other than by an order.
    pub emptied: bool,
    /// Whether the event came late, and the cart it speaks of was bought since.
    pub bought_since: bool,
    /// Whether the cart is a further one for which there is no room.
    pub not_kept: bool,
}

/// Applies a cart event; `late` says that later events have been applied already.
pub(super) fn fold(state: &mut CustomerState, event: &Event, late: bool) -> CartFold {
    let closed_later = |state: &CustomerState| {
        late && state.cart_closed.is_some_and(|closed| closed > (event.time, event.tie))
    };
    if closed_later(state) {
        return CartFold { key: event.cart_id.clone(), bought_since: true, ..CartFold::default() };
    }
    let place = match place_of(state, event) {
        Place::Known(place) => place,
        Place::Unknown => return CartFold { key: event.cart_id.clone(), ..CartFold::default() },
        Place::Full => {
            let (changed, not_kept) = (true, true);
            return CartFold {
                key: event.cart_id.clone(),
                changed,
                not_kept,
                ..CartFold::default()
            };
        }
    };
    let cart = &mut state.carts[place];
    let known_since = late && cart.whole_at.is_some_and(|whole| whole > (event.time, event.tie));
    let had_lines = !cart.lines.is_empty();
    let changed = if known_since { false } else { apply(cart, event) };
    if changed {
        cart.changed_at = cart.changed_at.max(event.time);
        cart.checkout_at = None;
    }
    cart.touched_at = cart.touched_at.max(event.time);
    if event.name == EventName::CheckoutStarted {
        cart.checkout_at = Some(event.time);
    }
    let emptied = changed && had_lines && cart.lines.is_empty();
    let key = cart.key.clone();
    let gone = emptied && key.starts_with('#');
    if gone {
        // Without an id nothing can refer to the empty cart: the next item opens another.
        state.carts.remove(place);
    } else if place + 1 != state.carts.len() && !late {
        let cart = state.carts.remove(place);
        state.carts.push(cart);
    }
    CartFold { key: Some(key), changed, emptied, ..CartFold::default() }
}

/// Closes the cart that an order bought; says which. An order that names a cart bought that one, or
/// one with the very lines, which the shop knows by another id; else it bought the last one there was.
pub(super) fn close(state: &mut CustomerState, event: &Event) -> Option<Text> {
    let bought: Vec<(&Text, i64)> =
        event.items.iter().map(|item| (&item.sku, item.quantity)).collect();
    let before_order = |cart: &Cart| cart.changed_at <= event.time;
    let same = |cart: &Cart| {
        cart.lines.len() == bought.len()
            && cart.lines.iter().all(|line| bought.contains(&(&line.sku, line.quantity)))
    };
    let named = event.cart_id.as_ref().and_then(|id| state.carts.iter().position(|c| c.key == *id));
    let place = named
        .or_else(|| state.carts.iter().rposition(|cart| before_order(cart) && same(cart)))
        .or_else(|| match event.cart_id {
            Some(_) => None,
            None => state.carts.iter().rposition(before_order),
        });
    let stamp = (event.time, event.tie);
    state.cart_closed = Some(state.cart_closed.map_or(stamp, |closed| closed.max(stamp)));
    place.map(|place| state.carts.remove(place).key)
}

/// Puts what is in one cart into another.
pub(super) fn join(into: &mut Cart, from: Cart) {
    for item in &from.lines {
        add(into, item);
    }
    into.touched_at = into.touched_at.max(from.touched_at);
    into.changed_at = into.changed_at.max(from.changed_at);
    into.checkout_at = None;
}

/// Takes a cart away because another customer claimed it.
pub(super) fn take_away(state: &mut CustomerState, key: &str) -> Option<Cart> {
    let place = state.carts.iter().position(|cart| cart.key == key)?;
    Some(state.carts.remove(place))
}

/// Where the cart is that an event speaks of.
enum Place {
    Known(usize),
    /// Nowhere, and the event opens none.
    Unknown,
    /// Nowhere, and there is no room for another.
    Full,
}

/// The place of the cart an event speaks of, opening one where it brings items.
fn place_of(state: &mut CustomerState, event: &Event) -> Place {
    let known = match &event.cart_id {
        Some(id) => state.carts.iter().position(|cart| cart.key == *id),
        None => state.carts.len().checked_sub(1),
    };
    if let Some(place) = known {
        return Place::Known(place);
    }
    let brings_items = !event.items.is_empty()
        && event.items_are != ItemsAre::Mentioned
        && event.name != EventName::CartItemRemoved;
    if !brings_items {
        return Place::Unknown;
    }
    while state.carts.len() >= CARTS_MAX || of_carts(&state.carts) > CART_BYTES_MAX {
        let Some(place) = state.carts.iter().position(|cart| !state.has_run_about(&cart.key))
        else {
            return Place::Full;
        };
        state.carts.remove(place);
    }
    let key = match &event.cart_id {
        Some(id) => id.clone(),
        None => {
            state.carts_opened += 1;
            Text::from(format!("#{}", state.carts_opened))
        }
    };
    state.carts.push(Cart {
        key,
        lines: Vec::new(),
        touched_at: event.time,
        changed_at: event.time,
        whole_at: None,
        checkout_at: None,
        last_delta: None,
    });
    Place::Known(state.carts.len() - 1)
}

/// Applies the event's items to the cart; says whether its lines changed.
fn apply(cart: &mut Cart, event: &Event) -> bool {
    match event.items_are {
        ItemsAre::Mentioned => false,
        ItemsAre::Whole => set_whole(cart, &event.items, (event.time, event.tie)),
        ItemsAre::Delta if event.name == EventName::CartItemRemoved => {
            event.items.iter().fold(false, |changed, item| remove(cart, item) | changed)
        }
        ItemsAre::Delta => add_all(cart, event),
    }
}

fn set_whole(cart: &mut Cart, items: &[Item], at: (Timestamp, Tie)) -> bool {
    cart.whole_at = Some(at);
    let mut lines: Vec<Item> = Vec::with_capacity(items.len().min(CART_LINES_MAX));
    let mut weight = 0;
    for item in items.iter().filter(|item| item.quantity > 0).take(CART_LINES_MAX) {
        let before = cart.lines.iter().find(|line| same_line(line, item));
        match lines.iter_mut().find(|line| same_line(line, item)) {
            Some(line) => line.quantity = line.quantity.saturating_add(item.quantity),
            None => {
                let heavier = weight + of_item(item);
                if lines.len() < CART_LINES_MAX && heavier <= CART_BYTES_MAX {
                    weight = heavier;
                    lines.push(before.map_or_else(|| item.clone(), |line| refresh(line, item)));
                }
            }
        }
    }
    let changed = lines.len() != cart.lines.len()
        || lines.iter().any(|line| {
            !cart.lines.iter().any(|old| {
                same_line(old, line) && old.quantity == line.quantity && old.price == line.price
            })
        });
    cart.lines = lines;
    changed
}

fn add_all(cart: &mut Cart, event: &Event) -> bool {
    // Docs and code disagree on whether an add lists the changed items or the cart: several lines
    // that equal the known cart are the cart. One line alone is more likely one more of it.
    let is_the_cart = event.items.len() > 1
        && event.items.len() == cart.lines.len()
        && event.items.iter().all(|item| {
            cart.lines.iter().any(|line| same_line(line, item) && line.quantity == item.quantity)
        });
    if is_the_cart {
        return false;
    }
    let print = fingerprint(&event.items);
    let told_before = cart.last_delta.as_ref().is_some_and(|(name, at, before)| {
        *before == print
            && *name != event.name
            && matches!(
                (name, &event.name),
                (EventName::CartOpened, EventName::CartItemAdded)
                    | (EventName::CartItemAdded, EventName::CartOpened)
            )
            && event.time.since_ms(*at).abs() <= PAIR_MS
    });
    if told_before {
        cart.last_delta = None;
        return false;
    }
    cart.last_delta = Some((event.name.clone(), event.time, print));
    let mut changed = false;
    for item in event.items.iter().filter(|item| item.quantity != 0) {
        changed |= if item.quantity < 0 {
            remove(cart, &Item { quantity: -item.quantity, ..item.clone() })
        } else {
            add(cart, item)
        };
    }
    changed
}

fn add(cart: &mut Cart, item: &Item) -> bool {
    match cart.lines.iter_mut().find(|line| same_line(line, item)) {
        Some(line) => {
            let quantity = line.quantity.saturating_add(item.quantity);
            if item.price.is_some() {
                line.price = item.price;
            }
            line.quantity = quantity;
            true
        }
        None => {
            let room = has_room(&cart.lines, item);
            if room {
                cart.lines.push(item.clone());
            }
            room
        }
    }
}

/// Whether a cart may have another line: a customer's state has a limit.
fn has_room(lines: &[Item], item: &Item) -> bool {
    if lines.len() >= CART_LINES_MAX {
        return false;
    }
    of_items(lines) + of_item(item) <= CART_BYTES_MAX
}

fn remove(cart: &mut Cart, item: &Item) -> bool {
    let Some(place) = cart.lines.iter().position(|line| same_line(line, item)) else {
        return false;
    };
    let line = &mut cart.lines[place];
    line.quantity = line.quantity.saturating_sub(item.quantity.max(0));
    if line.quantity <= 0 {
        cart.lines.remove(place);
    }
    item.quantity > 0
}

fn same_line(a: &Item, b: &Item) -> bool {
    let options = (a.options(), b.options());
    a.sku == b.sku && (options.0 == options.1 || options.0.is_empty() || options.1.is_empty())
}

/// The line as newly told, keeping what the new telling leaves out.
fn refresh(known: &Item, told: &Item) -> Item {
    let or = |new: Option<&Text>, old: Option<&Text>| new.or(old).cloned();
    let options = if told.options().is_empty() { known.options() } else { told.options() };
    Item {
        sku: told.sku.clone(),
        quantity: told.quantity,
        price: told.price.or(known.price),
        currency: told.currency.or(known.currency),
        facts: ItemFacts {
            options: Text::from(options),
            name: or(told.name(), known.name()),
            category: or(told.category(), known.category()),
            brand: or(told.brand(), known.brand()),
            image: or(told.image(), known.image()),
            url: or(told.url(), known.url()),
        }
        .boxed(),
    }
}

/// Tells lists of items apart, whatever their order.
fn fingerprint(items: &[Item]) -> u64 {
    items.iter().fold(0, |sum: u64, item| {
        let hash = fnv(item.sku.as_bytes()) ^ item.quantity.cast_unsigned().rotate_left(32);
        sum.wrapping_add(hash)
    })
}
