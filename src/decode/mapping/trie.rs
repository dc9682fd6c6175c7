//! Pulls the wanted paths out of a JSON record in one pass, without building a tree.

use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::plan::{Slot, Slots};
use crate::decode::Rejected;
use crate::decode::loose::Loose;
use crate::decode::record::json_error;
use crate::model::ITEMS_MAX;

/// The wanted paths below one place of a record.
#[derive(Debug, Default)]
pub(super) struct Node {
    names: Vec<(Box<str>, Self)>,
    elements: Vec<(usize, Self)>,
    each: Option<Box<Self>>,
    slot: Option<usize>,
}

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Name(String),
    Element(usize),
}

/// The steps of `a.b[0].c`.
///
/// # Errors
/// What is wrong with the path.
pub(super) fn steps(path: &str) -> Result<Vec<Step>, String> {
    let mut steps = Vec::new();
    for part in path.split('.') {
        let (name, mut brackets) = match part.find('[') {
            Some(at) => part.split_at(at),
            None => (part, ""),
        };
        if name.is_empty() && (brackets.is_empty() || !steps.is_empty()) {
            return Err(format!(
                "`{path}` is no path; write names joined by dots, such as cart.lines[0].sku"
            ));
        }
        if !name.is_empty() {
            steps.push(Step::Name(name.to_owned()));
        }
        while !brackets.is_empty() {
            let inner = brackets.strip_prefix('[').and_then(|rest| rest.split_once(']'));
            let element = inner.and_then(|(number, rest)| Some((number.parse().ok()?, rest)));
            let Some((number, rest)) = element else {
                return Err(format!("`{path}`: an element of an array is written [0], [1], ..."));
            };
            steps.push(Step::Element(number));
            brackets = rest;
        }
    }
    Ok(steps)
}

impl Node {
    /// Wants the value at `steps` in `slot`.
    ///
    /// # Errors
    /// If the same place is wanted as a value and as something with values in it.
    pub(super) fn want(&mut self, steps: &[Step], slot: usize) -> Result<(), String> {
        let node = self.at(steps);
        if node.has_inner() {
            return Err("is wanted as a value and as an object with values".into());
        }
        node.slot = Some(slot);
        Ok(())
    }

    /// Wants the elements of the array at `steps`, each by the paths of `each`.
    ///
    /// # Errors
    /// As [`Self::want`].
    pub(super) fn want_each(&mut self, steps: &[Step], each: Self) -> Result<(), String> {
        let node = self.at(steps);
        if node.slot.is_some() || node.has_inner() {
            return Err("is wanted both as a list and otherwise".into());
        }
        node.each = Some(Box::new(each));
        Ok(())
    }

    /// Whether a value is wanted both at a place and below it.
    pub(super) fn has_conflict(&self) -> bool {
        let inner = self.names.iter().map(|(_, node)| node);
        let mut inner = inner.chain(self.elements.iter().map(|(_, node)| node));
        self.slot.is_some() && self.has_inner() || inner.any(Self::has_conflict)
    }

    fn has_inner(&self) -> bool {
        !self.names.is_empty() || !self.elements.is_empty() || self.each.is_some()
    }

    fn at(&mut self, steps: &[Step]) -> &mut Self {
        let Some((first, rest)) = steps.split_first() else { return self };
        let child = match first {
            Step::Name(name) => {
                child(&mut self.names, |known| **known == **name, || name.as_str().into())
            }
            Step::Element(number) => child(&mut self.elements, |known| known == number, || *number),
        };
        child.at(rest)
    }
}

fn child<K>(
    children: &mut Vec<(K, Node)>,
    is: impl Fn(&K) -> bool,
    key: impl FnOnce() -> K,
) -> &mut Node {
    let at = children.iter().position(|(known, _)| is(known)).unwrap_or_else(|| {
        children.push((key(), Node::default()));
        children.len() - 1
    });
    &mut children[at].1
}

/// Fills the slots from a JSON record. Of too long an array one element more than
/// [`ITEMS_MAX`] is kept, for the reader to see it.
///
/// # Errors
/// [`Rejected`] for broken JSON.
pub(super) fn pull<'a>(
    text: &'a str,
    root: &Node,
    element_slots: usize,
    slots: &mut Slots<'a>,
) -> Result<(), Rejected> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let Slots { record, elements } = slots;
    Pull { node: root, slots: record, element_slots, elements: Some(elements) }
        .deserialize(&mut deserializer)
        .and_then(|()| deserializer.end())
        .map_err(|error| json_error(&error))
}

struct Pull<'p, 's, 'a> {
    node: &'p Node,
    slots: &'s mut [Slot<'a>],
    element_slots: usize,
    /// Where elements go; `None` within one.
    elements: Option<&'s mut Option<Vec<Vec<Slot<'a>>>>>,
}

impl<'a> DeserializeSeed<'a> for Pull<'_, '_, 'a> {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<(), D::Error> {
        match self.node.slot {
            Some(slot) => {
                self.slots[slot] = Loose::deserialize(deserializer)?.text();
                Ok(())
            }
            None => deserializer.deserialize_any(self),
        }
    }
}

impl<'a> Visitor<'a> for Pull<'_, '_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_map<A: MapAccess<'a>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some(child) = map.next_key_seed(Named(&self.node.names))? {
            match child {
                Some(node) => map.next_value_seed(Pull {
                    node,
                    slots: self.slots,
                    element_slots: self.element_slots,
                    elements: self.elements.as_deref_mut(),
                })?,
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'a>>(mut self, mut seq: A) -> Result<(), A::Error> {
        if let (Some(each), Some(elements)) = (&self.node.each, &mut self.elements) {
            let list = elements.get_or_insert_default();
            loop {
                let mut slots = vec![None; self.element_slots];
                let pull = Pull { node: each, slots: &mut slots, element_slots: 0, elements: None };
                if seq.next_element_seed(pull)?.is_none() {
                    return Ok(());
                }
                if list.len() <= ITEMS_MAX {
                    list.push(slots);
                }
            }
        }
        for at in 0.. {
            let wanted = self.node.elements.iter().find(|(number, _)| *number == at);
            let more = match wanted {
                Some((_, node)) => seq.next_element_seed(Pull {
                    node,
                    slots: self.slots,
                    element_slots: self.element_slots,
                    elements: self.elements.as_deref_mut(),
                })?,
                None => seq.next_element::<IgnoredAny>()?.map(|_| ()),
            };
            if more.is_none() {
                break;
            }
        }
        Ok(())
    }

    // A scalar where an object or an array is wanted: the path leads nowhere in this record.
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }
}

/// Finds a key among the wanted names without keeping it.
struct Named<'p>(&'p [(Box<str>, Node)]);

impl<'p, 'de> DeserializeSeed<'de> for Named<'p> {
    type Value = Option<&'p Node>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'p> Visitor<'_> for Named<'p> {
    type Value = Option<&'p Node>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok(self.0.iter().find(|(name, _)| **name == *key).map(|(_, node)| node))
    }
}
