//! How messages leave, as configured: the providers, the keys, the folder of caught ones.

use std::sync::Arc;

use anyhow::Context;

use crate::config::{self, Config, Deliver};
use crate::deliver::{Routes, Way};
use crate::mail::{Dkim, Security, Smtp, SmtpSettings, Timeouts};
use crate::provider::{Caught, Secret};
use crate::sms::{Sender, Twilio, TwilioSettings};

/// The ways out of both channels.
pub(super) fn routes(config: &Config) -> anyhow::Result<Routes> {
    let deliver = &config.deliver;
    let caught = if deliver.smtp.is_none() || deliver.twilio.is_none() {
        Some(Arc::new(Caught::open(&deliver.caught)?))
    } else {
        None
    };
    let way = |caught: &Option<Arc<Caught>>| caught.clone();
    Ok(Routes {
        email: match (&deliver.smtp, way(&caught)) {
            (Some(smtp), _) => Way::Provider(self::smtp(smtp, deliver)?),
            (None, Some(caught)) => Way::Caught(caught),
            (None, None) => unreachable!("the folder is opened where a channel is caught"),
        },
        sms: match (&deliver.twilio, way(&caught)) {
            (Some(twilio), _) => Way::Provider(self::twilio(twilio)?),
            (None, Some(caught)) => Way::Caught(caught),
            (None, None) => unreachable!("the folder is opened where a channel is caught"),
        },
        audience: deliver.audience.clone(),
    })
}
