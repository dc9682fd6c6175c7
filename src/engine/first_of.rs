//! Which of several messages can reach a customer.

use crate::journey::{NodeIx, Plan};

use super::context::Context;
use super::steps::MessageStep;
use super::{Engine, Reason};

impl Engine {
    /// The first of these messages that can reach the customer at the context's instant: there is
    /// an address that is not suppressed, and consent. If none can, the first that lacks nothing
    /// but an address where the journey waits for one, else the first, which is withheld then.
    pub(super) fn first_of(
        &self,
        context: &Context<'_>,
        plan: &Plan,
        messages: &[NodeIx],
    ) -> Option<NodeIx> {
        let barred = |node: NodeIx| {
            MessageStep::at(plan, node).map(|step| (node, self.bar(context, plan, step)))
        };
        let bars: Vec<(NodeIx, Option<Reason>)> =
            messages.iter().filter_map(|node| barred(*node)).collect();
        let first = |wanted: Option<Reason>| bars.iter().find(|(_, bar)| *bar == wanted);
        first(None)
            .or_else(|| first(plan.no_address.and(Some(Reason::NoAddress))))
            .or_else(|| bars.first())
            .map(|(node, _)| *node)
    }
}
