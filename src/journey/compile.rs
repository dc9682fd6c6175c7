//! From files to plans: read, lower, check, and report everything that is wrong at once.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::diagnostic::{Diagnostic, Report, SourceFile};
use crate::yaml::{self, Read, Reader};

use super::Plan;
use super::check;
use super::expr::{Expr, ExprErrorKind, Scope};
use super::lower;
use super::syntax::JourneyFile;
use super::words::Condition;
use crate::diagnostic::Code;

/// Compiles journey files. The plans are those of files without errors, in the order of the files.
///
/// `templates` are the folders that exist under `templates`, as `abandoned-cart/first`; `None`
/// leaves them unchecked. Plans may be used only if the report has no errors: a journey that is
/// wrong is missing among them.
#[must_use]
pub fn compile(files: &[SourceFile], templates: Option<&BTreeSet<String>>) -> (Vec<Plan>, Report) {
    let mut report = Report::default();
    let mut read = Vec::new();
    let mut unread = BTreeSet::new();
    for file in files {
        let file = Arc::new(file.clone());
        let errors_before = report.error_count();
        let Some(node) = yaml::parse(&file, &mut report) else {
            unread.extend(names_of_unread(&file));
            continue;
        };
        let mut reader = Reader { file: &file, report: &mut report };
        let syntax = JourneyFile::read(&node, &mut reader);
        let is_sound = report.error_count() == errors_before;
        if let Some(syntax) = syntax {
            read.push(Loaded { file, syntax, is_sound });
        }
    }
    check::across_files(&read, &unread, &mut report);
    let mut plans = Vec::new();
    for loaded in &read {
        let errors_before = report.error_count();
        let plan = lower::lower(loaded, templates, &mut report);
        if loaded.is_sound && report.error_count() == errors_before {
            plans.extend(plan);
        }
    }
    report.sort();
    (plans, report)
}

/// What the journey of a file that is no YAML is most likely called: what it says, or its file's
/// name.
fn names_of_unread(file: &SourceFile) -> impl Iterator<Item = String> {
    let said = file.text.lines().find_map(|line| line.strip_prefix("journey:"));
    let said = said.map(|name| name.split('#').next().unwrap_or_default());
    let stem = std::path::Path::new(&file.path).file_stem();
    let stem = stem.map(|stem| stem.to_string_lossy().into_owned());
    said.map(|name| name.trim().trim_matches(['"', '\'']).to_owned()).into_iter().chain(stem)
}

/// A file that was read.
pub(super) struct Loaded {
    pub(super) file: Arc<SourceFile>,
    pub(super) syntax: JourneyFile,
    /// Whether nothing in it failed to be read: else some checks would report what only follows.
    pub(super) is_sound: bool,
}

/// Compiles a condition; its mistakes are reported at their place inside the YAML text.
pub(super) fn condition(
    condition: &Condition,
    scope: Scope,
    file: &Arc<SourceFile>,
    report: &mut Report,
) -> Option<Expr> {
    match Expr::compile(condition.source(), scope) {
        Ok(expr) => Some(expr),
        Err(errors) => {
            for error in errors {
                let code = match error.kind {
                    ExprErrorKind::Syntax => Code::ConditionSyntax,
                    ExprErrorKind::Unknown => Code::UnknownName,
                    ExprErrorKind::Type => Code::TypeMismatch,
                    ExprErrorKind::Scope => Code::OutOfScope,
                };
                let span = condition.0.inner_span(file, error.range);
                report.push(
                    Diagnostic::error(code, file, span, error.message).maybe_help(error.help),
                );
            }
            None
        }
    }
}
