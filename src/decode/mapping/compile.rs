//! Checks a mapping file and compiles it, with the place of each mistake.

use serde_saphyr::{Location, Spanned};

use super::file::{
    ConsentFields, EventField, Field, File, ItemFields, OrderFields, Ordered, PageFields,
    ProfileFields, Reads, Target as TargetWord,
};
use super::plan::{
    ConsentPlan, EventRule, ItemPlan, Kind, OrderPlan, PagePlan, Plan, ProfilePlan, Take, Target,
};
use super::trie::{Node, steps};
use super::{MappingError, words};
use crate::decode::{ATTRIBUTES_MAX, CsvForm, ID_BYTES_MAX};
use crate::diagnostic::did_you_mean_within;
use crate::model::{MessageChannel, Text};

/// The longest mapping file, in bytes.
const FILE_BYTES_MAX: usize = 256 << 10;
/// The most columns or paths that one mapping may take.
const SLOTS_MAX: usize = 256;

/// The namespaces of customers that Waypost knows.
const NAMESPACES: [&str; 4] = ["customer_id", "email", "phone", "device"];
/// A name so many typing mistakes away from one of them is not one of the source's own.
const MISTYPED: usize = 2;

type Result<T> = std::result::Result<T, MappingError>;

/// Reads and compiles a mapping file; `path` is for messages.
///
/// # Errors
/// [`MappingError`] for the first mistake.
pub(super) fn compile(path: &str, text: &str) -> Result<Plan> {
    if text.len() > FILE_BYTES_MAX {
        let message = format!("{} bytes, the limit is {FILE_BYTES_MAX}", text.len());
        return Err(MappingError { path: path.into(), line: 1, column: 1, message });
    }
    let file: File = serde_saphyr::from_str(text).map_err(|error| {
        let plain = error.without_snippet();
        let place = plain.location().unwrap_or(Location::UNKNOWN);
        at(path, place, first_line(&plain.to_string()))
    })?;
    if file.format.value != 1 {
        let message = format!("format {} is not known; this build reads 1", file.format.value);
        return Err(at(path, file.format.referenced, message));
    }
    Compiler {
        path,
        reads: file.reads,
        slots: Vec::new(),
        trie: Node::default(),
        elements: Vec::new(),
        each: None,
    }
    .plan(file)
}

/// The message without the place that the library adds, which is given apart.
fn first_line(message: &str) -> String {
    let line = message.lines().next().unwrap_or_default();
    let line = line.strip_prefix("error: ").unwrap_or(line);
    line.rfind(" at line ").map_or(line, |at| &line[..at]).to_owned()
}

fn at(path: &str, place: Location, message: impl Into<String>) -> MappingError {
    MappingError {
        path: path.to_owned(),
        line: place.line(),
        column: place.column(),
        message: message.into(),
    }
}

struct Compiler<'f> {
    path: &'f str,
    reads: Reads,
    /// Column or path of each slot of the record.
    slots: Vec<String>,
    trie: Node,
    /// Path of each slot of an element.
    elements: Vec<String>,
    /// The array whose elements are items, and what is wanted of each.
    each: Option<(Spanned<String>, Node)>,
}

impl Compiler<'_> {
    fn plan(mut self, file: File) -> Result<Plan> {
        let source = file.source.value.trim();
        if source.is_empty() || source.len() > ID_BYTES_MAX {
            return Err(at(self.path, file.source.referenced, "source needs a name"));
        }
        let (csv, columns) = self.csv_form(file.csv)?;
        let time = match &file.time {
            Some(time) => {
                let take = self.place(&time.value.at, time.referenced)?;
                Some((take, time.value.form, time.value.at.clone()))
            }
            None => None,
        };
        let event = self.event(&file.event)?;
        let id = self.field(file.id.as_ref())?;
        let shop = self.field(file.shop.as_ref())?;
        let channel = self.channel(file.channel.as_ref())?;
        let cart_id = self.field(file.cart_id.as_ref())?;
        let customer = self.customer(&file.customer)?;
        let items =
            file.items.iter().map(|item| self.item(&item.value)).collect::<Result<Vec<_>>>()?;
        let order = self.order(&file.order)?;
        let profile = self.profile(&file.profile)?;
        let page = self.page(&file.page)?;
        let consents =
            file.consents.iter().map(|one| self.consent(one)).collect::<Result<Vec<_>>>()?;
        if let Some((list, node)) = self.each.take() {
            let steps =
                steps(&list.value).map_err(|message| at(self.path, list.referenced, message))?;
            self.trie.want_each(&steps, node).map_err(|message| {
                at(self.path, list.referenced, format!("`{}` {message}", list.value))
            })?;
        }
        if self.trie.has_conflict() {
            let message = "one path leads through another: a place is either a value or an object";
            return Err(at(self.path, file.format.referenced, message));
        }
        Ok(Plan {
            source: Text::from(source),
            reads: self.reads,
            csv,
            columns,
            slots: self.slots,
            element_slots: self.elements.len(),
            trie: self.trie,
            time,
            event,
            id,
            shop,
            channel,
            cart_id,
            customer,
            items,
            order,
            profile,
            page,
            consents,
        })
    }

    fn csv_form(
        &self,
        csv: Option<Spanned<super::file::Csv>>,
    ) -> Result<(CsvForm, Option<Vec<String>>)> {
        let mut form = CsvForm::default();
        let Some(csv) = csv else { return Ok((form, None)) };
        if self.reads != Reads::Csv {
            return Err(at(self.path, csv.referenced, "csv goes with `reads: csv`"));
        }
        if let Some(delimiter) = csv.value.delimiter {
            form.delimiter = match delimiter.value.as_bytes() {
                [byte] if byte.is_ascii() && !matches!(byte, b'"' | b'\n' | b'\r') => *byte,
                _ => {
                    let message = "delimiter is one ASCII character, such as \";\"";
                    return Err(at(self.path, delimiter.referenced, message));
                }
            };
        }
        form.header = csv.value.columns.is_none();
        Ok((form, csv.value.columns))
    }

    /// The slot of a column or path.
    fn place(&mut self, name: &str, place: Location) -> Result<Take> {
        if let Some(known) = self.slots.iter().position(|slot| slot == name) {
            return Ok(Take::Slot(known));
        }
        if name.is_empty() || self.slots.len() == SLOTS_MAX {
            let message = format!("a name is missing, or more than {SLOTS_MAX} are taken");
            return Err(at(self.path, place, message));
        }
        let slot = self.slots.len();
        if self.reads == Reads::Json {
            let steps = steps(name).map_err(|message| at(self.path, place, message))?;
            self.trie
                .want(&steps, slot)
                .map_err(|message| at(self.path, place, format!("`{name}` {message}")))?;
        }
        self.slots.push(name.to_owned());
        Ok(Take::Slot(slot))
    }

    fn field(&mut self, field: Option<&Spanned<Field>>) -> Result<Option<Take>> {
        field.map(|field| self.needed(field)).transpose()
    }

    fn needed(&mut self, field: &Spanned<Field>) -> Result<Take> {
        match &field.value {
            Field::At(name) => self.place(name, field.referenced),
            Field::Value(value) => Ok(Take::Value(Text::from(value.as_str()))),
        }
    }

    fn channel(&mut self, field: Option<&Spanned<Field>>) -> Result<Option<Take>> {
        let Some(field) = field else { return Ok(None) };
        if let Field::Value(word) = &field.value
            && crate::decode::fields::channel(word).is_none()
        {
            let message = format!("`{word}` is none of web, app, store, phone");
            return Err(at(self.path, field.referenced, message));
        }
        self.needed(field).map(Some)
    }

    fn event(&mut self, event: &EventField) -> Result<EventRule> {
        match (&event.column, &event.value) {
            (Some(column), None) => {
                let Take::Slot(slot) = self.place(&column.value, column.referenced)? else {
                    return Err(at(self.path, column.referenced, "event needs a column"));
                };
                let mut words = Vec::with_capacity(event.is.0.len());
                for (word, target) in &event.is.0 {
                    words.push((Text::from(word.as_str()), self.target(target)?));
                }
                let label = column.value.clone();
                Ok(EventRule::ByWord { slot, label, words, otherwise: event.otherwise })
            }
            (None, Some(always)) if event.is.0.is_empty() => {
                Ok(EventRule::Always(self.target(always)?))
            }
            (Some(column), Some(_)) => {
                Err(at(self.path, column.referenced, "event is either a column or a value"))
            }
            (None, Some(always)) => {
                Err(at(self.path, always.referenced, "`is` goes with a column"))
            }
            (None, None) => Err(at(
                self.path,
                Location::UNKNOWN,
                "event needs a column (or path) with `is`, or a value",
            )),
        }
    }

    fn target(&self, target: &Spanned<TargetWord>) -> Result<Target> {
        words::target(&target.value).map_err(|message| at(self.path, target.referenced, message))
    }

    fn customer(&mut self, fields: &Ordered<Spanned<Field>>) -> Result<Vec<(Kind, Take)>> {
        let mut customer = Vec::with_capacity(fields.0.len());
        for (name, field) in &fields.0 {
            let kind = match name.as_str() {
                "customer_id" => Kind::CustomerId,
                "email" => Kind::Email,
                "phone" => Kind::Phone,
                "device" => Kind::Device,
                other => {
                    // A namespace of the source's own is any other name; one mistyped is none.
                    if let Some(help) = did_you_mean_within(other, MISTYPED, NAMESPACES) {
                        let message = format!("`{other}` is taken for a name of your own; {help}");
                        return Err(at(self.path, field.referenced, message));
                    }
                    Kind::Other(Text::from(other))
                }
            };
            customer.push((kind, self.needed(field)?));
        }
        Ok(customer)
    }

    fn item(&mut self, item: &ItemFields) -> Result<ItemPlan> {
        if let Some(each) = &item.each {
            if self.reads != Reads::Json {
                return Err(at(self.path, each.referenced, "each goes with `reads: json`"));
            }
            if self.each.is_some() {
                return Err(at(self.path, each.referenced, "only one list of items can be read"));
            }
            self.each = Some((each.clone(), Node::default()));
        }
        let of_elements = item.each.is_some();
        let mut take = |field: &Spanned<Field>| {
            if of_elements { self.element(field) } else { self.needed(field) }
        };
        let sku = take(&item.sku)?;
        let mut optional =
            |field: &Option<Spanned<Field>>| field.as_ref().map(&mut take).transpose();
        let plan = ItemPlan {
            of_elements,
            sku,
            quantity: optional(&item.quantity)?,
            price: optional(&item.price)?,
            line_total: optional(&item.line_total)?,
            currency: optional(&item.currency)?,
            name: optional(&item.name)?,
            category: optional(&item.category)?,
            brand: optional(&item.brand)?,
            image: optional(&item.image)?,
            url: optional(&item.url)?,
            options: Vec::new(),
        };
        let mut options = Vec::new();
        for (name, field) in &item.options.0 {
            options.push((Text::from(name.as_str()), take(field)?));
        }
        if let (Some(_), Some(total)) = (&item.price, &item.line_total) {
            return Err(at(self.path, total.referenced, "write either a price or a line_total"));
        }
        Ok(ItemPlan { options, ..plan })
    }

    /// The slot of a path within an element.
    fn element(&mut self, field: &Spanned<Field>) -> Result<Take> {
        let Field::At(name) = &field.value else { return self.needed(field) };
        if let Some(known) = self.elements.iter().position(|slot| slot == name) {
            return Ok(Take::Element(known));
        }
        let slot = self.elements.len();
        let wanted = steps(name).and_then(|steps| match &mut self.each {
            Some((_, node)) => node.want(&steps, slot),
            None => Ok(()),
        });
        wanted
            .map_err(|message| at(self.path, field.referenced, format!("`{name}`: {message}")))?;
        self.elements.push(name.clone());
        Ok(Take::Element(slot))
    }

    fn order(&mut self, order: &OrderFields) -> Result<OrderPlan> {
        Ok(OrderPlan {
            id: self.field(order.id.as_ref())?,
            scope: self.field(order.scope.as_ref())?,
            total: self.field(order.total.as_ref())?,
            discount: self.field(order.discount.as_ref())?,
            currency: self.field(order.currency.as_ref())?,
            coupon: self.field(order.coupon.as_ref())?,
            refunded: self.field(order.refunded.as_ref())?,
            shipping: self.field(order.shipping.as_ref())?,
            tracking: self.field(order.tracking.as_ref())?,
            tracking_url: self.field(order.tracking_url.as_ref())?,
        })
    }

    fn profile(&mut self, profile: &ProfileFields) -> Result<ProfilePlan> {
        let mut attributes = Vec::new();
        for (name, field) in &profile.attributes.0 {
            if attributes.len() == ATTRIBUTES_MAX {
                let message = format!("more than {ATTRIBUTES_MAX} attributes");
                return Err(at(self.path, field.referenced, message));
            }
            attributes.push((Text::from(name.as_str()), self.needed(field)?));
        }
        Ok(ProfilePlan {
            first_name: self.field(profile.first_name.as_ref())?,
            last_name: self.field(profile.last_name.as_ref())?,
            locale: self.field(profile.locale.as_ref())?,
            zone: self.field(profile.zone.as_ref())?,
            country: self.field(profile.country.as_ref())?,
            birth_date: self.field(profile.birth_date.as_ref())?,
            attributes,
        })
    }

    fn page(&mut self, page: &PageFields) -> Result<PagePlan> {
        Ok(PagePlan {
            url: self.field(page.url.as_ref())?,
            name: self.field(page.name.as_ref())?,
            category: self.field(page.category.as_ref())?,
            query: self.field(page.query.as_ref())?,
            results: self.field(page.results.as_ref())?,
        })
    }

    fn consent(&mut self, consent: &ConsentFields) -> Result<ConsentPlan> {
        let channel = match consent.channel.value.as_str() {
            "email" => MessageChannel::Email,
            "sms" => MessageChannel::Sms,
            other => {
                let message = format!("`{other}` is none of email, sms");
                return Err(at(self.path, consent.channel.referenced, message));
            }
        };
        let mut words = Vec::new();
        for (word, status) in &consent.is.0 {
            let status = words::consent_status(&status.value).ok_or_else(|| {
                let message = format!("`{}` is none of given, confirmed, withdrawn", status.value);
                at(self.path, status.referenced, message)
            })?;
            words.push((Text::from(word.as_str()), status));
        }
        Ok(ConsentPlan {
            channel,
            topic: self.field(consent.topic.as_ref())?,
            status: self.needed(&consent.status)?,
            words,
        })
    }
}
