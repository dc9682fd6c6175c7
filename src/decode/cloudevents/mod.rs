//! CloudEvents 1.0, structured JSON, under our own event names.

mod binary;
mod data;
mod encode;
mod schema;
mod shape;

pub use binary::decode_message;
pub use encode::cloudevent;
pub use schema::{cloudevents_schema, data_fields};

use serde::Deserialize;

use self::shape::Envelope;
use super::fields::{Reading, id, time};
use super::loose::Loose;
use super::record::{json_text, parse};
use super::{Decode, Raw, Rejected, effective_time};
use crate::model::{Event, EventName, Text};

/// Reads CloudEvents.
#[derive(Clone, Copy, Debug, Default)]
pub struct CloudEvents;

impl Decode for CloudEvents {
    fn decode(&self, raw: &Raw<'_>, out: &mut Vec<Event>) -> Result<(), Rejected> {
        let text = json_text(raw.bytes)?;
        let envelope: Envelope<'_> = parse(text)?;
        let name = name_of(&envelope)?;
        let (time, clock_ahead) =
            effective_time(time(envelope.time.text(), "time")?, raw.append_time)?;
        let event_id = Reading::of(&name).fact(event_id(&envelope))?;
        let event_id = event_id.unwrap_or_else(|| Text::from(raw.position));
        let mut event = Event::new(event_id, name, time);
        event.tie = raw.tie;
        event.clock_ahead = clock_ahead;
        let data = envelope.data.map_or("null", |data| data.get());
        if matches!(event.name, EventName::Custom(_)) {
            data::fill_custom(&mut event, data)?;
        } else {
            data::fill(&mut event, data)?;
        }
        out.push(event);
        Ok(())
    }
}

/// Whether a JSON record says that it is a CloudEvent.
pub(super) fn is_cloudevent(bytes: &[u8]) -> bool {
    #[derive(Deserialize, Default)]
    #[serde(default)]
    struct Probe<'a> {
        #[serde(borrow)]
        specversion: Loose<'a>,
    }
    // The word may also stand deep within an XDM record, so a hit is looked at again.
    memchr::memmem::find(bytes, b"\"specversion\"").is_some()
        && json_text(bytes)
            .and_then(parse::<Probe<'_>>)
            .is_ok_and(|probe| probe.specversion.text().is_some())
}

fn name_of(envelope: &Envelope<'_>) -> Result<EventName, Rejected> {
    match envelope.specversion.text() {
        Some(version) if version.starts_with("1.") => (),
        Some(version) => {
            return Err(Rejected::new(format!(
                "specversion: CloudEvents `{}` is not known; send 1.0",
                version.chars().take(20).collect::<String>()
            )));
        }
        None => return Err(Rejected::new("specversion: missing; send CloudEvents 1.0")),
    }
    if envelope.data_base64.text().is_some() {
        return Err(Rejected::new("data_base64: not read; send the data as JSON in `data`"));
    }
    let kind = id(envelope.kind.text(), "type")?
        .ok_or_else(|| Rejected::new("type: missing; name what happened, such as cart.viewed"))?;
    let name = EventName::new(&kind);
    if name.is_derived() {
        return Err(Rejected::new(format!(
            "type: {name} is derived from other events; send what happened, such as cart.item_removed"
        )));
    }
    Ok(name)
}

/// The id with its source before it: two sources may give one id to different events (CloudEvents
/// 1.0, `source`).
fn event_id(envelope: &Envelope<'_>) -> Result<Option<Text>, Rejected> {
    let own = id(envelope.id.text(), "id")?;
    let source = id(envelope.source.text(), "source")?;
    Ok(match (source, own) {
        (Some(source), Some(own)) => Some(Text::from(format!("{source}#{own}"))),
        (_, own) => own,
    })
}
