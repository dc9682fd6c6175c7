//! From steps to nodes: ids, join points, and what can't be reached.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::diagnostic::{Code, did_you_mean};
use crate::model::{Delay, MessageChannel, Text};
use crate::yaml::{ScalarOr, Spanned};

use super::expr::Expr;
use super::lower::Lower;
use super::step_syntax::{StepKind, StepSyntax};
use super::syntax::{WaitForSyntax, WaitQuietSyntax, WaitSyntax};
use super::words::{Condition, TemplateName};
use super::{Class, Node, NodeIx, Step};

/// How deep steps may stand inside steps.
pub const STEP_LEVELS_MAX: usize = 8;

/// How many steps a journey may have.
pub const STEPS_MAX: usize = 200;

/// The nodes of a journey: the steps in the order of the file, then the end.
pub(super) fn lower(
    lower: &mut Lower<'_>,
    steps: Option<&Spanned<Vec<StepSyntax>>>,
    class: Class,
) -> Vec<Node> {
    let Some(steps) = steps else { return Vec::new() };
    if steps.value.is_empty() && lower.loaded.is_sound {
        lower.fail::<()>(Code::MissingField, &steps.span, "a journey needs at least one step");
    }
    let mut build = Build {
        lower,
        class,
        nodes: Vec::new(),
        ids: BTreeMap::new(),
        counts: BTreeMap::new(),
        is_too_long: false,
    };
    let open = build.block(&steps.value, Vec::new(), 1);
    let end = build.push("end".into(), Step::End);
    build.fill(&open, end);
    build.nodes
}

/// A way out of a node that does not lead anywhere yet.
#[derive(Clone, Copy)]
struct Open {
    node: NodeIx,
    way: Way,
}

#[derive(Clone, Copy)]
enum Way {
    Next,
    Then,
    Otherwise,
}

struct Build<'b, 'a> {
    lower: &'b mut Lower<'a>,
    class: Class,
    nodes: Vec<Node>,
    ids: BTreeMap<Text, Range<usize>>,
    counts: BTreeMap<&'static str, usize>,
    is_too_long: bool,
}

impl Build<'_, '_> {
    /// Lowers steps that `open` leads into; gives the ways that lead out of them.
    fn block(&mut self, steps: &[StepSyntax], mut open: Vec<Open>, level: usize) -> Vec<Open> {
        if let (true, Some(first)) = (level > STEP_LEVELS_MAX, steps.first()) {
            let message =
                format!("steps stand inside steps more than {STEP_LEVELS_MAX} levels deep");
            self.lower.fail::<()>(Code::TooLarge, &first.span, message);
            return open;
        }
        let mut has_ended = false;
        for step in steps {
            if has_ended {
                let message = "this step can never be reached: every way before it ends the run";
                self.lower.fail::<()>(Code::Unreachable, &step.span, message);
            }
            if self.nodes.len() >= STEPS_MAX {
                if !self.is_too_long {
                    let message = format!("a journey has at most {STEPS_MAX} steps");
                    self.lower.fail::<()>(Code::TooLarge, &step.span, message);
                }
                self.is_too_long = true;
                return open;
            }
            open = self.step(step, &open, level);
            has_ended = open.is_empty();
        }
        open
    }

    fn step(&mut self, step: &StepSyntax, open: &[Open], level: usize) -> Vec<Open> {
        let id = self.id(step);
        let lowered = match &step.kind {
            StepKind::Wait(wait) => self.wait(wait),
            StepKind::WaitQuiet(wait) => self.wait_quiet(wait),
            StepKind::Message(channel, message) => self.message(*channel, message),
            StepKind::End => Step::End,
            StepKind::WaitFor(wait) => self.wait_for(wait),
            StepKind::If(condition, ..) => self.condition(condition.as_ref()),
        };
        let ends = matches!(lowered, Step::End);
        let node = self.push(id, lowered);
        self.fill(open, node);
        let branches = match &step.kind {
            StepKind::If(_, then, otherwise) => Some((then.as_slice(), otherwise.as_slice())),
            StepKind::WaitFor(wait) => Some((
                wait.then.as_deref().unwrap_or_default(),
                wait.otherwise.as_deref().unwrap_or_default(),
            )),
            StepKind::Wait(_) | StepKind::WaitQuiet(_) | StepKind::Message(..) | StepKind::End => {
                None
            }
        };
        match branches {
            Some((then, otherwise)) => {
                let mut out = self.block(then, vec![Open { node, way: Way::Then }], level + 1);
                let other = vec![Open { node, way: Way::Otherwise }];
                out.extend(self.block(otherwise, other, level + 1));
                out
            }
            None if ends => Vec::new(),
            None => vec![Open { node, way: Way::Next }],
        }
    }

    fn wait(&mut self, wait: &ScalarOr<Delay, WaitSyntax>) -> Step {
        let (delay, and_quiet) = match wait {
            ScalarOr::Scalar(delay) => (delay, None),
            ScalarOr::Map(wait) => (&wait.delay, wait.and_quiet.as_ref()),
        };
        Step::Wait {
            delay: self.lower.positive(delay),
            and_quiet: and_quiet.map(|quiet| self.lower.positive(quiet)),
            next: 0,
        }
    }

    fn wait_quiet(&mut self, wait: &ScalarOr<Delay, WaitQuietSyntax>) -> Step {
        let (delay, at_most) = match wait {
            ScalarOr::Scalar(delay) => (delay, None),
            ScalarOr::Map(wait) => (&wait.delay, wait.at_most.as_ref()),
        };
        if let Some(at_most) = at_most
            && at_most.value.nominal_ms() < delay.value.nominal_ms()
        {
            let message = "`at_most` is shorter than `for`, so it would never be quiet long enough";
            self.lower.fail::<()>(Code::Conflict, &at_most.span, message);
        }
        Step::WaitQuiet {
            delay: self.lower.positive(delay),
            at_most: at_most.map(|at_most| at_most.value),
            next: 0,
        }
    }

    fn wait_for(&mut self, wait: &WaitForSyntax) -> Step {
        Step::WaitFor {
            rule: self.lower.rule(
                wait.event.0.as_ref(),
                wait.matching.as_ref(),
                wait.condition.as_ref(),
            ),
            at_most: wait
                .at_most
                .0
                .as_ref()
                .map_or(Delay::default(), |at_most| self.lower.positive(at_most)),
            then: 0,
            otherwise: 0,
        }
    }

    /// A branch. Where its condition is wrong, which is reported, a constant stands in.
    fn condition(&mut self, condition: Option<&Condition>) -> Step {
        let scope = self.lower.run_scope;
        let condition =
            self.lower.condition(condition, scope).unwrap_or_else(|| Expr::constant(true));
        Step::If { condition, then: 0, otherwise: 0 }
    }

    fn message(
        &mut self,
        channel: MessageChannel,
        message: &ScalarOr<TemplateName, super::syntax::MessageSyntax>,
    ) -> Step {
        let (name, span, class, coupon) = match message {
            ScalarOr::Scalar(name) => (&name.value, &name.span, None, None),
            ScalarOr::Map(fields) => (
                &fields.template.value,
                &fields.template.span,
                fields.class,
                fields.coupon.as_ref().map(|coupon| coupon.0.clone()),
            ),
        };
        if let Some(known) = self.lower.templates
            && !known.contains(name.0.as_str())
        {
            let help = did_you_mean(&name.0, known.iter().map(String::as_str))
                .unwrap_or_else(|| format!("make the folder templates/{}", name.0));
            let message = format!("there is no template `{}`", name.0);
            self.lower.fail_help::<()>(Code::UnknownTemplate, span, message, help);
        }
        let class = class.unwrap_or(self.class);
        Step::Message { channel, template: name.0.clone(), class, coupon, next: 0 }
    }

    /// A step's id: its `id:`, else its template's last part, else kind and number.
    fn id(&mut self, step: &StepSyntax) -> Text {
        let kind = match &step.kind {
            StepKind::Wait(_) => "wait",
            StepKind::WaitQuiet(_) => "wait_quiet",
            StepKind::WaitFor(_) => "wait_for",
            StepKind::If(..) => "if",
            StepKind::Message(channel, _) => channel.as_str(),
            StepKind::End => "end",
        };
        let count = self.counts.entry(kind).or_default();
        *count += 1;
        let numbered = format!("{kind}-{count}");
        let id: Text = match (&step.id, &step.kind) {
            (Some(id), _) => id.value.0.clone(),
            (None, StepKind::Message(_, message)) => {
                let template = match message {
                    ScalarOr::Scalar(template) => template,
                    ScalarOr::Map(fields) => &fields.template,
                };
                template.value.0.rsplit('/').next().unwrap_or_default().into()
            }
            (None, _) => numbered.into(),
        };
        let span = step.id.as_ref().map_or(&step.span, |id| &id.span);
        if let Some(first) = self.ids.get(&id) {
            let (line, _) = self.lower.file().line_column(first.start);
            let message = format!("two steps have the id `{id}`");
            let help = format!("the first is in line {line}; give this one an `id:` of its own");
            self.lower.fail_help::<()>(Code::DuplicateStep, span, message, help);
        } else if id == "end" {
            let message = "`end` is the id of the end of the journey";
            let help = "give this step an `id:` of its own";
            self.lower.fail_help::<()>(Code::DuplicateStep, span, message, help);
        }
        self.ids.entry(id.clone()).or_insert_with(|| span.clone());
        id
    }

    fn push(&mut self, id: Text, step: Step) -> NodeIx {
        self.nodes.push(Node { id, step });
        // At most STEPS_MAX nodes and the end.
        NodeIx::try_from(self.nodes.len() - 1).unwrap_or(NodeIx::MAX)
    }

    /// Leads open ways to a node.
    fn fill(&mut self, open: &[Open], target: NodeIx) {
        for Open { node, way } in open {
            let Some(node) = self.nodes.get_mut(*node as usize) else { continue };
            match (&mut node.step, way) {
                (
                    Step::Wait { next, .. }
                    | Step::WaitQuiet { next, .. }
                    | Step::Message { next, .. },
                    _,
                ) => *next = target,
                (Step::WaitFor { then, .. } | Step::If { then, .. }, Way::Then) => *then = target,
                (
                    Step::WaitFor { otherwise, .. } | Step::If { otherwise, .. },
                    Way::Otherwise | Way::Next,
                ) => *otherwise = target,
                (Step::End, _) => (),
            }
        }
    }
}
