//! One event through the identity graph.

use crate::log::{CartMoved, CustomerEvent, Merge, Record};
use crate::model::{
    CustomerId, Event, EventName, HOUR_MS, Identity, Namespace, Text, Tie, Timestamp, derive,
};

use super::graph::{Device, Found, Key, Link, Root, Row, cart_key, customer_id, identity_key};
use super::{DEVICE_IDLE_MS, IDENTITIES_MAX, Identify, Rejected};

/// One event on its way to its customer.
pub(super) struct Resolving<'a> {
    stage: &'a mut Identify,
    out: &'a mut Vec<Record>,
    event: Event,
    /// Identities that name a person, strongest first.
    persons: Vec<Name>,
    devices: Vec<Name>,
}

/// An identity of the event by its key.
struct Name {
    key: Key,
    is_commerce: bool,
    is_email: bool,
}

/// Whose an identity is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Owner {
    Nobody,
    Customer(CustomerId),
    /// The event happened before the owner was erased.
    Erased,
}

/// Who held a device when the event happened.
#[derive(Clone, Copy)]
struct Holder {
    owner: Owner,
    /// Whether they hold it still, so that the event may change that.
    current: bool,
}

impl<'a> Resolving<'a> {
    pub(super) fn new(
        stage: &'a mut Identify,
        event: Event,
        out: &'a mut Vec<Record>,
    ) -> Result<Self, Rejected> {
        if event.identities.is_empty() {
            return Err(Rejected::NoIdentity(Box::new(event)));
        }
        let (mut persons, mut devices) = (Vec::new(), Vec::new());
        let mut order: Vec<&Identity> = event.identities.iter().collect();
        // Stable: among identities of one kind, the one that the source named first is first.
        order.sort_by_key(|identity| &identity.namespace);
        for identity in order {
            let key = identity_key(&stage.secret, identity);
            let is_commerce = identity.namespace == Namespace::CustomerId;
            let is_email = identity.namespace == Namespace::Email;
            let names = if identity.is_person() { &mut persons } else { &mut devices };
            if names.iter().all(|name: &Name| name.key != key) {
                names.push(Name { key, is_commerce, is_email });
            }
        }
        let mut missing = Vec::new();
        for name in persons.iter().chain(&devices) {
            stage.missing_of(name.key, &mut missing);
        }
        if let Some(cart) = &event.cart_id {
            stage.missing_of(cart_key(&stage.secret, cart), &mut missing);
        }
        if !missing.is_empty() {
            return Err(Rejected::NotLoaded(Box::new(event)));
        }
        Ok(Self { stage, out, event, persons, devices })
    }

    pub(super) fn run(mut self) -> Result<CustomerId, Rejected> {
        let persons = std::mem::take(&mut self.persons);
        let devices = std::mem::take(&mut self.devices);
        let owners: Vec<Owner> = persons.iter().map(|name| self.owner(name.key)).collect();
        let first_known = owners.iter().find(|owner| **owner != Owner::Nobody);
        if first_known == Some(&Owner::Erased) {
            return Err(Rejected::Erased);
        }
        let mut target = self.strongest(&persons, &owners);
        let customer = if persons.is_empty() {
            self.by_device(&devices)?
        } else {
            for device in &devices {
                target = self.meet_device(device, &persons, target);
            }
            match target {
                Some(customer) => self.live(customer),
                None => self.create(persons[0].key, true),
            }
        };
        // An account is linked before anybody is merged into it: two accounts never become one.
        self.link(&persons, customer);
        let customer = self.unite(&persons, customer);
        self.hold_devices(&devices, customer, !persons.is_empty());
        self.claim_cart(customer);
        self.keep_own_identities(customer);
        if self.event.name == EventName::CustomerDeleted {
            let erased = Row::Erased(self.event.time);
            self.stage.graph.put(customer.0, erased, self.event.tie);
        }
        self.out.push(Record::Event(Box::new(CustomerEvent { customer, event: self.event })));
        Ok(customer)
    }

    /// The owner of the strongest identity that has one. An owner with a Commerce id that is not
    /// the event's is somebody else.
    fn strongest(&self, persons: &[Name], owners: &[Owner]) -> Option<CustomerId> {
        let commerce = commerce_of(persons);
        persons.iter().zip(owners).find_map(|(_, owner)| match owner {
            Owner::Customer(customer) => {
                let theirs = self.root(*customer).commerce;
                let other = commerce.is_some() && theirs.is_some() && theirs != commerce;
                (!other).then_some(*customer)
            }
            Owner::Nobody | Owner::Erased => None,
        })
    }

    /// The customer of an event that names only devices: the holder of the first that has one,
    /// else a fresh anonymous customer.
    fn by_device(&mut self, devices: &[Name]) -> Result<CustomerId, Rejected> {
        let mut erased = false;
        for device in devices {
            match self.holder(device.key).owner {
                Owner::Customer(customer) => return Ok(customer),
                Owner::Erased => erased = true,
                Owner::Nobody => {}
            }
        }
        match devices.first() {
            Some(first) if !erased => Ok(self.create(first.key, false)),
            _ => Err(Rejected::Erased),
        }
    }

    /// What a device of the event does to its customer: an anonymous holder becomes the event's
    /// person, a person who holds it may be the same one or another.
    fn meet_device(
        &mut self,
        device: &Name,
        persons: &[Name],
        target: Option<CustomerId>,
    ) -> Option<CustomerId> {
        if !by_the_customer(&self.event.name) {
            return target;
        }
        let holder = self.holder(device.key);
        let Owner::Customer(held_by) = holder.owner else { return target };
        let target = target.map(|customer| self.live(customer));
        if target == Some(held_by) {
            return target;
        }
        let root = self.root(held_by);
        let same = if root.person {
            holder.current
                && self.event.name != EventName::CustomerSignedOut
                && self.one_person(&root, persons, target)
        } else {
            true
        };
        if same {
            return match target {
                None => Some(held_by),
                Some(customer) => Some(self.merge(customer, held_by).unwrap_or(customer)),
            };
        }
        if holder.current && self.event.name == EventName::OrderPlaced {
            // The cart that was just bought is the last one seen on this device.
            let target = target.unwrap_or_else(|| self.create(persons[0].key, true));
            self.move_cart_of_device(device.key, held_by, target);
            return Some(target);
        }
        target
    }

    /// Whether the event's person is the one who holds the device, though no identity says so.
    fn one_person(&self, holder: &Root, persons: &[Name], target: Option<CustomerId>) -> bool {
        let signs_in =
            matches!(self.event.name, EventName::CustomerSignedIn | EventName::CustomerCreated);
        let target = target.map(|customer| self.root(customer));
        let commerce = commerce_of(persons).or(target.as_ref().and_then(|root| root.commerce));
        if signs_in || (holder.commerce.is_some() && commerce.is_some()) {
            return false;
        }
        let new = u16::try_from(persons.len()).unwrap_or(u16::MAX);
        let more = target.as_ref().map_or(new, |root| root.identities);
        if holder.identities.saturating_add(more) > IDENTITIES_MAX {
            return false;
        }
        match target {
            Some(known) => holder.emails == 0 || known.emails == 0,
            None => {
                // An account's own orders carry its own address: another one is another's order.
                let other_address = holder.emails > 0 && persons.iter().any(|name| name.is_email);
                let is_order = self.event.name == EventName::OrderPlaced;
                !(other_address && holder.commerce.is_some() && is_order)
            }
        }
    }

    /// Links the event's identities that nobody has.
    fn link(&mut self, persons: &[Name], customer: CustomerId) {
        let (time, tie) = (self.event.time, self.event.tie);
        for name in persons {
            if self.owner(name.key) != Owner::Nobody {
                continue;
            }
            let mut root = self.root(customer);
            let second_account = name.is_commerce && root.commerce.is_some();
            if second_account || root.identities >= IDENTITIES_MAX {
                continue;
            }
            root.person = true;
            root.identities += 1;
            root.emails += u16::from(name.is_email);
            if name.is_commerce {
                root.commerce = Some(name.key);
            }
            self.stage.graph.put(customer.0, Row::Root(root), tie);
            let link = self.stage.graph.link_mut(name.key, false, tie);
            (link.customer, link.since) = (Some(customer), time);
        }
    }

    /// Makes one customer of all that the event's identities name, where that may be.
    fn unite(&mut self, persons: &[Name], customer: CustomerId) -> CustomerId {
        let mut customer = customer;
        for name in persons {
            let Owner::Customer(owner) = self.owner(name.key) else { continue };
            if owner == customer {
                continue;
            }
            if let Some(winner) = self.merge(customer, owner) {
                customer = winner;
            } else if !name.is_commerce {
                self.take_over(name, owner, customer);
            }
        }
        customer
    }

    /// An address that another account had is this one's from now on.
    fn take_over(&mut self, name: &Name, owner: CustomerId, customer: CustomerId) {
        let (time, tie) = (self.event.time, self.event.tie);
        let earlier = self.stage.graph.link(name.key).is_none_or(|link| time < link.since);
        let mut root = self.root(customer);
        if earlier || root.commerce.is_none() || root.identities >= IDENTITIES_MAX {
            return;
        }
        let mut former = self.root(owner);
        former.identities = former.identities.saturating_sub(1);
        former.emails = former.emails.saturating_sub(u16::from(name.is_email));
        root.identities += 1;
        root.emails += u16::from(name.is_email);
        self.stage.graph.put(owner.0, Row::Root(former), tie);
        self.stage.graph.put(customer.0, Row::Root(root), tie);
        let link = self.stage.graph.link_mut(name.key, false, tie);
        (link.customer, link.since) = (Some(customer), time);
    }

    /// Gives the event's devices to its customer, or takes them away at sign-out.
    fn hold_devices(&mut self, devices: &[Name], customer: CustomerId, is_person: bool) {
        if !by_the_customer(&self.event.name) {
            return;
        }
        let (time, tie) = (self.event.time, self.event.tie);
        let signs_out = self.event.name == EventName::CustomerSignedOut;
        for device in devices {
            let holder = self.holder(device.key);
            if !holder.current || holder.owner == Owner::Erased {
                continue;
            }
            let before = self.stage.graph.link(device.key).cloned();
            let mut link = before.clone().unwrap_or_else(|| Link::new(true));
            let state = link.device.get_or_insert_default();
            if holder.owner != Owner::Customer(customer) {
                if signs_out || (!is_person && holder.owner != Owner::Nobody) {
                    continue;
                }
                if let Owner::Customer(former) = holder.owner {
                    state.before = Some(former);
                    state.cart = None;
                    link.since = time;
                }
            }
            link.customer = Some(customer);
            let used = Timestamp::from_ms((time.ms() + HOUR_MS - 1).div_euclid(HOUR_MS) * HOUR_MS);
            state.used = state.used.max(Some(used));
            if self.event.cart_id.is_some() {
                state.cart.clone_from(&self.event.cart_id);
            }
            if signs_out {
                end_hold(&mut link, customer, time);
            }
            if before.as_ref() != Some(&link) {
                self.stage.graph.put(device.key, Row::Link(link), tie);
            }
        }
    }

    /// The event's cart belongs to its customer; whoever had it before loses it.
    fn claim_cart(&mut self, customer: CustomerId) {
        let Some(cart_id) = self.event.cart_id.clone() else { return };
        let key = cart_key(&self.stage.secret, &cart_id);
        self.move_cart(key, cart_id, customer);
    }

    fn move_cart(&mut self, key: Key, cart_id: Text, customer: CustomerId) {
        let (time, tie) = (self.event.time, self.event.tie);
        if let Some(Row::Cart(owner, since)) = self.stage.graph.get(key) {
            let (owner, since) = (*owner, *since);
            match self.stage.graph.find(owner) {
                Found::Live(root) if root == customer => return,
                // An old event that comes late does not take the cart back.
                _ if time < since => return,
                Found::Live(root) => self.tell_moved(root, cart_id),
                Found::Erased(_) => {}
            }
        }
        self.stage.graph.put(key, Row::Cart(customer, time), tie);
    }

    /// The holder's cart goes with an order that another person places on the device. Without a
    /// known cart it is the holder's cart that has no id.
    fn move_cart_of_device(&mut self, device: Key, holder: CustomerId, customer: CustomerId) {
        let link = self.stage.graph.link(device);
        match link.and_then(|link| link.device.as_ref()).and_then(|device| device.cart.clone()) {
            Some(cart_id) => {
                let key = cart_key(&self.stage.secret, &cart_id);
                self.move_cart(key, cart_id, customer);
            }
            None => self.tell_moved(holder, Text::default()),
        }
    }

    fn tell_moved(&mut self, customer: CustomerId, cart_id: Text) {
        let (time, tie) = (self.event.time, self.event.tie);
        let moved = CartMoved { customer, cart_id, time, tie };
        self.out.push(Record::CartMoved(Box::new(moved)));
    }

    /// Takes off the identities that are not the customer's, so that no address of another
    /// person gets into their state.
    fn keep_own_identities(&mut self, customer: CustomerId) {
        if let [only] = self.event.identities.as_slice()
            && only.is_person()
        {
            return; // It named the customer, so it is theirs.
        }
        let mut identities = std::mem::take(&mut self.event.identities);
        identities.retain(|identity| {
            let key = identity_key(&self.stage.secret, identity);
            let owner = if identity.is_person() { self.owner(key) } else { self.holder(key).owner };
            owner == Owner::Customer(customer)
                // At sign-out the device is nobody's already, and still says where it happened.
                || (!identity.is_person() && owner == Owner::Nobody)
        });
        self.event.identities = identities;
    }

    /// Makes one customer of two: the smaller id goes on. `None` if they must stay two.
    fn merge(&mut self, one: CustomerId, two: CustomerId) -> Option<CustomerId> {
        let (winner, loser) = (one.min(two), one.max(two));
        let (mut root, lost) = (self.root(winner), self.root(loser));
        let two_accounts = root.commerce.is_some() && lost.commerce.is_some();
        if winner == loser || two_accounts || root.identities + lost.identities > IDENTITIES_MAX {
            return None;
        }
        root.person |= lost.person;
        root.commerce = root.commerce.or(lost.commerce);
        root.emails += lost.emails;
        root.identities += lost.identities;
        let (time, tie) = (self.event.time, self.event.tie);
        self.stage.graph.put(winner.0, Row::Root(root), tie);
        self.stage.graph.put(loser.0, Row::Pointer(winner), tie);
        let id = merge_id(loser, winner, tie);
        let merge = Merge { loser, winner, time, tie, id };
        self.out.push(Record::Merge(Box::new(merge)));
        Some(winner)
    }

    /// A customer of its own for an identity that nobody has.
    fn create(&mut self, key: Key, person: bool) -> CustomerId {
        let count = self.stage.graph.link(key).map_or(0, |link| link.count);
        let customer = customer_id(&self.stage.secret, key, count);
        let root = Root { person, ..Root::default() };
        self.stage.graph.put(customer.0, Row::Root(root), self.event.tie);
        customer
    }

    /// Whose an identity is. A link that leads to an erased customer becomes a tombstone on the
    /// way, one that leads over pointers is shortened.
    fn owner(&mut self, key: Key) -> Owner {
        let time = self.event.time;
        let Some(link) = self.stage.graph.link(key) else { return Owner::Nobody };
        if link.erased.is_some_and(|erased| time <= erased) {
            return Owner::Erased;
        }
        let Some(customer) = link.customer else { return Owner::Nobody };
        match self.stage.graph.find(customer) {
            Found::Live(root) => {
                if root != customer {
                    let tie = self.event.tie;
                    self.stage.graph.link_mut(key, false, tie).customer = Some(root);
                }
                Owner::Customer(root)
            }
            Found::Erased(at) => {
                let link = self.stage.graph.link_mut(key, false, self.event.tie);
                link.erased = link.erased.max(Some(at));
                link.customer = None;
                link.count += 1;
                if let Some(device) = &mut link.device {
                    **device = Device::default();
                }
                if time <= at { Owner::Erased } else { Owner::Nobody }
            }
        }
    }

    /// Who held a device when the event happened. A hold that was idle too long ends here.
    fn holder(&mut self, key: Key) -> Holder {
        let (time, tie) = (self.event.time, self.event.tie);
        let owner = self.owner(key);
        let current = Holder { owner, current: true };
        let Some(link) = self.stage.graph.link(key) else { return current };
        let Some(device) = &link.device else { return current };
        if time < link.since && owner != Owner::Erased {
            let before = device.before.map(|customer| self.stage.graph.find(customer));
            return match before {
                Some(Found::Live(customer)) => {
                    Holder { owner: Owner::Customer(customer), current: false }
                }
                Some(Found::Erased(_)) => Holder { owner: Owner::Erased, current: false },
                None => current,
            };
        }
        if let Owner::Customer(customer) = owner
            && device.used.is_some_and(|used| time.since_ms(used) > DEVICE_IDLE_MS)
            && self.root(customer).person
        {
            end_hold(self.stage.graph.link_mut(key, true, tie), customer, time);
            return Holder { owner: Owner::Nobody, current: true };
        }
        current
    }

    /// The customer who goes on for this one.
    fn live(&self, customer: CustomerId) -> CustomerId {
        match self.stage.graph.find(customer) {
            Found::Live(root) => root,
            Found::Erased(_) => customer,
        }
    }

    fn root(&self, customer: CustomerId) -> Root {
        self.stage.graph.root(customer)
    }
}

/// Key of the event's own Commerce id.
fn commerce_of(persons: &[Name]) -> Option<Key> {
    persons.first().filter(|name| name.is_commerce).map(|name| name.key)
}

/// The next user of the device is a fresh anonymous customer.
fn end_hold(link: &mut Link, customer: CustomerId, time: Timestamp) {
    link.customer = None;
    link.since = time;
    link.count += 1;
    let device = link.device.get_or_insert_default();
    device.before = Some(customer);
    device.cart = None;
}

fn merge_id(loser: CustomerId, winner: CustomerId, tie: Tie) -> u64 {
    let position = [
        &tie.source.to_be_bytes()[..],
        &tie.partition.to_be_bytes()[..],
        &tie.offset.to_be_bytes()[..],
    ]
    .concat();
    let id = derive("merge", &[&loser.to_bytes()[..], &winner.to_bytes()[..], &position]);
    (id >> 64) as u64
}

/// Whether the customer did it, at the device the event names. What the back office and the
/// providers report happens elsewhere and later, and says nothing about who uses the device.
const fn by_the_customer(name: &EventName) -> bool {
    !matches!(
        name,
        EventName::OrderInvoiced
            | EventName::OrderShipped
            | EventName::OrderDelivered
            | EventName::OrderCancelled
            | EventName::OrderRefunded
            | EventName::OrderReturnCompleted
            | EventName::CustomerDeleted
            | EventName::CouponIssued
            | EventName::EmailSent
            | EventName::EmailDelivered
            | EventName::EmailBounced
            | EventName::EmailComplained
            | EventName::EmailExpired
            | EventName::EmailFailed
            | EventName::EmailMissedWindow
            | EventName::EmailCancelled
            | EventName::EmailStarted
            | EventName::SmsSent
            | EventName::SmsDelivered
            | EventName::SmsBounced
            | EventName::SmsExpired
            | EventName::SmsFailed
            | EventName::SmsMissedWindow
            | EventName::SmsCancelled
            | EventName::SmsStarted
    )
}
