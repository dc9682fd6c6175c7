//! From steps to nodes: ids, join points, and what can't be reached.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::diagnostic::{Code, did_you_mean};
use crate::model::{Delay, MessageChannel, Text};
use crate::yaml::{ScalarOr, Spanned};

use super::expr::Expr;
use super::lower::Lower;
use super::step_syntax::{StepKind, StepSyntax};
use super::syntax::{CaseSyntax, VariantSyntax, WaitForSyntax, WaitQuietSyntax, WaitSyntax};
use super::words::{Condition, TemplateName};
use super::{Class, Node, NodeIx, Step, Variant};

/// How deep steps may stand inside steps.
pub const STEP_LEVELS_MAX: usize = 8;

/// The greatest weight of a variant.
const WEIGHT_MAX: u32 = 10_000;

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
    /// One of many, by its number.
    Nth(usize),
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
        let id = self.id(step, false);
        let lowered = match &step.kind {
            StepKind::Wait(wait) => self.wait(wait),
            StepKind::WaitQuiet(wait) => self.wait_quiet(wait),
            StepKind::WaitUntil(wait) => self.lower.wait_until(wait, &step.span),
            StepKind::Message(channel, message) => self.message(*channel, message),
            StepKind::End => Step::End,
            StepKind::WaitFor(wait) => self.wait_for(wait),
            StepKind::If(condition, ..) => self.condition(condition.as_ref()),
            StepKind::Choose(cases, otherwise) => {
                return self.choose(step, id, cases, otherwise, open.to_vec(), level);
            }
            StepKind::Experiment(variants) => return self.experiment(id, variants, open, level),
            StepKind::FirstOf(messages) => return self.first_of(id, messages, open),
        };
        let ends = matches!(lowered, Step::End);
        let node = self.push(id, lowered);
        self.fill(open, node);
        let (then, otherwise) = match &step.kind {
            StepKind::If(_, then, otherwise) => (then.as_slice(), otherwise.as_slice()),
            StepKind::WaitFor(wait) => (
                wait.then.as_deref().unwrap_or_default(),
                wait.otherwise.as_deref().unwrap_or_default(),
            ),
            _ if ends => return Vec::new(),
            _ => return vec![Open { node, way: Way::Next }],
        };
        let mut out = self.block(then, vec![Open { node, way: Way::Then }], level + 1);
        let other = vec![Open { node, way: Way::Otherwise }];
        out.extend(self.block(otherwise, other, level + 1));
        out
    }

    /// One branch after another: the first case whose condition holds counts.
    fn choose(
        &mut self,
        step: &StepSyntax,
        id: Text,
        cases: &[CaseSyntax],
        otherwise: &[StepSyntax],
        mut open: Vec<Open>,
        level: usize,
    ) -> Vec<Open> {
        if cases.is_empty() {
            if self.lower.loaded.is_sound {
                let help = "write `- { if: CONDITION, then: [ … ] }` for each case";
                let message = "`choose` has no case";
                self.lower.fail_help::<()>(Code::MissingField, &step.span, message, help);
            }
            return vec![Open { node: self.push(id, Step::End), way: Way::Next }];
        }
        let mut out = Vec::new();
        for (place, case) in cases.iter().enumerate() {
            let id = match place {
                0 => id.clone(),
                _ => self.unique(format!("{id}-{}", place + 1).into(), &step.span),
            };
            let lowered = self.condition(Some(&case.condition));
            let node = self.push(id, lowered);
            self.fill(&open, node);
            out.extend(self.block(&case.then, vec![Open { node, way: Way::Then }], level + 1));
            open = vec![Open { node, way: Way::Otherwise }];
        }
        out.extend(self.block(otherwise, open, level + 1));
        out
    }

    fn experiment(
        &mut self,
        id: Text,
        variants: &Spanned<Vec<VariantSyntax>>,
        open: &[Open],
        level: usize,
    ) -> Vec<Open> {
        if variants.value.len() < 2 {
            let message = "an experiment compares at least two variants";
            self.lower.fail::<()>(Code::BadValue, &variants.span, message);
        }
        let mut lowered: Vec<Variant> = Vec::new();
        for VariantSyntax { variant, weight, .. } in &variants.value {
            if lowered.iter().any(|other| other.name == variant.value.0) {
                let message = format!("two variants have the name `{}`", variant.value.0);
                self.lower.fail::<()>(Code::Conflict, &variant.span, message);
            }
            let number = weight.as_ref().map_or(1, |weight| weight.value);
            if let Some(weight) = weight
                && (number == 0 || number > WEIGHT_MAX)
            {
                let message = format!("a weight goes from 1 to {WEIGHT_MAX}");
                self.lower.fail::<()>(Code::BadValue, &weight.span, message);
            }
            lowered.push(Variant { name: variant.value.0.clone(), weight: number, first: 0 });
        }
        let node = self.push(id, Step::Experiment { variants: lowered });
        self.fill(open, node);
        let mut out = Vec::new();
        for (place, variant) in variants.value.iter().enumerate() {
            let way = vec![Open { node, way: Way::Nth(place) }];
            out.extend(self.block(&variant.then, way, level + 1));
        }
        out
    }

    fn first_of(
        &mut self,
        id: Text,
        messages: &Spanned<Vec<StepSyntax>>,
        open: &[Open],
    ) -> Vec<Open> {
        if messages.value.len() < 2 {
            let message = "`first_of` chooses among at least two messages";
            self.lower.fail::<()>(Code::BadValue, &messages.span, message);
        }
        let node = self.push(id, Step::FirstOf { messages: vec![0; messages.value.len()] });
        self.fill(open, node);
        let mut out = Vec::new();
        for (place, step) in messages.value.iter().enumerate() {
            let StepKind::Message(channel, message) = &step.kind else {
                let message = "`first_of` holds messages only";
                let help = "write `email:` or `sms:`; put other steps before or after it";
                self.lower.fail_help::<()>(Code::WrongShape, &step.span, message, help);
                continue;
            };
            let id = self.id(step, true);
            let lowered = self.message(*channel, message);
            let chosen = self.push(id, lowered);
            self.fill(&[Open { node, way: Way::Nth(place) }], chosen);
            out.push(Open { node: chosen, way: Way::Next });
        }
        out
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

    /// A step's id: its `id:`, else its template's last part, else kind and number. Where messages
    /// of one template stand `among` others, their channel is added.
    fn id(&mut self, step: &StepSyntax, among: bool) -> Text {
        let kind = match &step.kind {
            StepKind::Wait(_) => "wait",
            StepKind::WaitQuiet(_) => "wait_quiet",
            StepKind::WaitFor(_) => "wait_for",
            StepKind::WaitUntil(_) => "wait_until",
            StepKind::If(..) => "if",
            StepKind::Choose(..) => "choose",
            StepKind::Experiment(_) => "experiment",
            StepKind::FirstOf(_) => "first_of",
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
                let last = template.value.0.rsplit('/').next().unwrap_or_default();
                if among { format!("{last}-{kind}").into() } else { last.into() }
            }
            (None, _) => numbered.into(),
        };
        let span = step.id.as_ref().map_or(&step.span, |id| &id.span);
        self.unique(id, span)
    }

    /// Reports an id that there is already.
    fn unique(&mut self, id: Text, span: &Range<usize>) -> Text {
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
                    | Step::WaitUntil { next, .. }
                    | Step::Message { next, .. },
                    _,
                ) => *next = target,
                (Step::Experiment { variants }, Way::Nth(place)) => {
                    if let Some(variant) = variants.get_mut(*place) {
                        variant.first = target;
                    }
                }
                (Step::FirstOf { messages }, Way::Nth(place)) => {
                    if let Some(message) = messages.get_mut(*place) {
                        *message = target;
                    }
                }
                (Step::WaitFor { then, .. } | Step::If { then, .. }, Way::Then) => *then = target,
                (Step::WaitFor { otherwise, .. } | Step::If { otherwise, .. }, _) => {
                    *otherwise = target
                }
                (Step::Experiment { .. } | Step::FirstOf { .. } | Step::End, _) => (),
            }
        }
    }
}
