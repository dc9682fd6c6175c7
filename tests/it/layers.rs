//! The shape of the house: who may use whom, how long a file may be, what the pure core does
//! without, and what stands at the top level.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// No file of `src` or `tests` is longer, its tests included.
const FILE_LINES_MAX: usize = 600;

/// Modules that compute decisions: the same values in give the same values out, everywhere.
const PURE: [&str; 3] = ["model", "journey", "engine"];

/// What the pure modules do without, as whole words, and why.
const BANNED: [(&str, &str); 8] = [
    ("async", "the core is called, it never waits"),
    ("tokio", "the core is called, it never waits"),
    ("SystemTime", "time is an argument"),
    ("Instant::now", "time is an argument"),
    ("HashMap", "hash order differs from run to run; use BTreeMap"),
    ("HashSet", "hash order differs from run to run; use BTreeSet"),
    ("f64", "floats round; use Amount or whole numbers"),
    ("f32", "floats round; use Amount or whole numbers"),
];

/// Where a banned word may stand all the same: path under `src`, word, why.
const ALLOWED: &[(&str, &str, &str)] = &[];

/// What may stand at the top level, beside dotfiles.
const TOP_LEVEL: [&str; 15] = [
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "README.md",
    "SECURITY.md",
    "benches",
    "docs",
    "examples",
    "journeys",
    "migrations",
    "src",
    "templates",
    "tests",
];

/// Directories of the machines on which Waypost is developed; split so that this file has none.
const MACHINE_PATHS: [&str; 3] =
    [concat!("/wo", "rk/"), concat!("/tmp", "/wt"), concat!("/ro", "ot/")];

#[test]
fn a_module_uses_only_modules_above_it() {
    let order = modules();
    assert!(order.len() > 1, "src/lib.rs lists modules");
    let place: BTreeMap<&str, usize> =
        order.iter().enumerate().map(|(place, module)| (module.name.as_str(), place)).collect();
    let mut faults = String::new();
    for (path, text) in sources() {
        let Some(&own) = place.get(top_module(&path)) else { continue };
        for (line, used) in crate_paths(&text) {
            let above = place.get(used.as_str()).is_none_or(|other| *other <= own);
            if !above {
                let own = &order[own].name;
                let _ = writeln!(faults, "src/{path}:{line}: `{own}` uses `{used}`, below it");
            }
        }
    }
    assert_eq!(faults, "", "lib.rs lists modules so that each uses only those above it");
}

#[test]
fn every_module_is_documented_and_there() {
    for module in modules() {
        assert!(module.documented, "src/lib.rs: say in a line above what `{}` is", module.name);
        let file = root().join(format!("src/{}.rs", module.name));
        let folder = root().join(format!("src/{}/mod.rs", module.name));
        assert!(file.exists() || folder.exists(), "src/lib.rs: no file for `{}`", module.name);
    }
    for (path, text) in sources().into_iter().filter(|(path, _)| !path.ends_with("tests.rs")) {
        assert!(text.starts_with("//! "), "src/{path} does not begin with what it is");
    }
}

#[test]
fn no_file_is_too_long() {
    let mut faults = String::new();
    for path in tracked().iter().filter(|path| path.ends_with(".rs")) {
        let lines = read(path).lines().count();
        if lines > FILE_LINES_MAX {
            let _ = writeln!(faults, "{path} has {lines} lines, more than {FILE_LINES_MAX}");
        }
    }
    assert_eq!(faults, "", "split these by what they do");
}

#[test]
fn statements_for_postgres_have_no_name() {
    let mut faults = String::new();
    let beside = |path: &str| path.starts_with("postgres/") || path.starts_with("store/postgres");
    for (path, text) in sources().into_iter().filter(|(path, _)| beside(path)) {
        for (number, line) in text.lines().enumerate() {
            let named = ["sqlx::query(", "sqlx::query_as", "sqlx::query_scalar"];
            let named = named.iter().any(|named| code(line).contains(named));
            if path != "postgres/mod.rs" && named {
                let _ = writeln!(faults, "src/{path}:{}: {line}", number + 1);
            }
        }
    }
    assert_eq!(faults, "", "use `crate::postgres::query`: a pooler gives names to other sessions");
}

#[test]
fn the_pure_core_stays_pure() {
    let mut faults = String::new();
    let mut allowed = Vec::new();
    for (path, text) in sources() {
        if !PURE.contains(&top_module(&path)) {
            continue;
        }
        for (number, line) in text.lines().enumerate() {
            for (word, why) in BANNED.iter().filter(|(word, _)| has_word(code(line), word)) {
                if ALLOWED.iter().any(|(file, allowed, _)| *file == path && allowed == word) {
                    allowed.push((path.clone(), *word));
                } else {
                    let _ = writeln!(faults, "src/{path}:{}: `{word}`: {why}", number + 1);
                }
            }
        }
    }
    assert_eq!(faults, "", "decisions depend on nothing but their arguments");
    for (file, word, _) in ALLOWED {
        let used = allowed.iter().any(|(path, used)| path == file && used == word);
        assert!(used, "nothing needs ALLOWED's ({file}, {word}) any more");
    }
}

#[test]
fn the_top_level_holds_nothing_else() {
    let stray: Vec<String> = tracked()
        .into_iter()
        .map(|path| path.split('/').next().unwrap_or_default().to_owned())
        .filter(|name| !name.starts_with('.'))
        .filter(|name| !TOP_LEVEL.contains(&name.as_str()))
        .collect();
    assert_eq!(stray, Vec::<String>::new(), "these have no place at the top level");
}

#[test]
fn no_file_names_a_path_of_a_machine() {
    let mut faults = String::new();
    for path in tracked() {
        // Lossy: a file that is no text can still name a path.
        let bytes = fs::read(root().join(&path)).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        for (number, line) in text.lines().enumerate() {
            for machine in MACHINE_PATHS.iter().filter(|machine| line.contains(**machine)) {
                let _ = writeln!(faults, "{path}:{}: {machine}", number + 1);
            }
        }
    }
    assert_eq!(faults, "", "nothing in the project depends on where it stands");
}

/// A `pub mod` of `src/lib.rs`.
struct Module {
    name: String,
    documented: bool,
}

/// The modules of `src/lib.rs`, in its order.
fn modules() -> Vec<Module> {
    let text = read("src/lib.rs");
    let mut modules = Vec::new();
    let mut documented = false;
    for line in text.lines() {
        let rest = line.strip_prefix("pub mod ").or_else(|| line.strip_prefix("mod "));
        if let Some(name) = rest.and_then(|rest| rest.strip_suffix(';')) {
            modules.push(Module { name: name.to_owned(), documented });
        }
        documented = line.starts_with("// ")
            || line.starts_with("/// ")
            || documented && line.starts_with("#[");
    }
    modules
}

/// The files of `src` below the crate's own, with their text.
fn sources() -> Vec<(String, String)> {
    let mut files = Vec::new();
    collect(&root().join("src"), &mut files);
    files.sort();
    files
        .into_iter()
        .filter(|file| file.extension().is_some_and(|extension| extension == "rs"))
        .filter_map(|file| {
            let path = file.strip_prefix(root().join("src")).ok()?.to_str()?.to_owned();
            let text = fs::read_to_string(&file).expect("src holds text");
            Some((path, text))
        })
        .collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(&path, files);
        } else {
            files.push(path);
        }
    }
}

/// `engine/state.rs` and `engine.rs` belong to `engine`.
fn top_module(path: &str) -> &str {
    let first = path.split('/').next().unwrap_or(path);
    first.strip_suffix(".rs").unwrap_or(first)
}

/// A line without its comment; a `//` within a text cuts it short, which hides nothing from us.
fn code(line: &str) -> &str {
    line.split("//").next().unwrap_or(line)
}

/// The modules that a file names through `crate::`, also in lists, each with its line.
fn crate_paths(text: &str) -> Vec<(usize, String)> {
    let text: String = text.lines().flat_map(|line| [code(line), "\n"]).collect();
    let mut paths = Vec::new();
    for (at, _) in text.match_indices("crate::") {
        let line = 1 + text[..at].matches('\n').count();
        let rest = &text[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            Some(list) => paths.extend(names_of_list(list).map(|name| (line, name))),
            None => paths.push((line, first_word(rest).to_owned())),
        }
    }
    paths
}

/// The first word of each element of `a::{x, y}, b}`, up to the brace that closes the list.
fn names_of_list(list: &str) -> impl Iterator<Item = String> {
    let mut depth = 0;
    let mut outer = String::new();
    for c in list.chars() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            _ if depth == 0 => outer.push(c),
            _ => {}
        }
    }
    let names: Vec<String> =
        outer.split(',').map(|part| first_word(part.trim()).to_owned()).collect();
    names.into_iter().filter(|name| !name.is_empty())
}

fn first_word(text: &str) -> &str {
    let end = text.find(|c: char| !is_word(c)).unwrap_or(text.len());
    &text[..end]
}

fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        !before.is_some_and(is_word) && !after.is_some_and(is_word)
    })
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The files that belong to the project: what git tracks, or would if added. Without git (an
/// unpacked archive) it is every file that is there.
fn tracked() -> Vec<String> {
    let listed = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"])
        .current_dir(root())
        .output();
    let Some(listed) = listed.ok().filter(|listed| listed.status.success()) else {
        return present();
    };
    let text = String::from_utf8(listed.stdout).expect("paths are text");
    let paths = text.split('\0').filter(|path| !path.is_empty());
    // A file that is deleted but still in the index has nothing to check.
    paths.filter(|path| root().join(path).exists()).map(str::to_owned).collect()
}

/// As [`project`] without git, for a copy of the project alone: what `.gitignore` names at the top
/// level is no part of it.
fn present() -> Vec<String> {
    let gitignore = fs::read_to_string(root().join(".gitignore")).expect(".gitignore");
    let ignored = ignored_at_top(&gitignore);
    let mut files = Vec::new();
    for entry in fs::read_dir(root()).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().unwrap_or_default().to_owned();
        let is_ignored = name == ".git" || ignored.iter().any(|ignored| *name == **ignored);
        if path.is_dir() && !is_ignored {
            collect(&path, &mut files);
        } else if path.is_file() {
            files.push(path);
        }
    }
    let inside = files.iter().filter_map(|file| file.strip_prefix(root()).ok()?.to_str());
    inside.map(str::to_owned).collect()
}

/// The names at the top level that a `.gitignore` leaves out.
fn ignored_at_top(gitignore: &str) -> Vec<&str> {
    let names = gitignore.lines().filter_map(|line| line.strip_prefix('/'));
    names.map(|name| name.trim_end_matches('/')).collect()
}

#[test]
fn the_checks_see_what_they_look_for() {
    assert_eq!(ignored_at_top("/target\n# not\n*.db\n/data/\n!/tests/**\n"), ["target", "data"]);
    for (text, expected) in [
        ("use crate::engine::State;", &["engine"][..]),
        ("use crate::{\n    model::{Event, Item},\n    lane,\n};", &["model", "lane"]),
        ("fn a(x: crate::store::Store)", &["store"]),
        ("// crate::store is below", &[]),
    ] {
        let found: Vec<String> = crate_paths(text).into_iter().map(|(_, name)| name).collect();
        assert_eq!(found, expected, "{text}");
    }
    assert!(has_word("let x: f64 = 1.0;", "f64") && !has_word("let f64s = 1;", "f64"));
    assert!(!has_word(code("// HashMap"), "HashMap"));
    assert_eq!((top_module("engine/state.rs"), top_module("lane.rs")), ("engine", "lane"));
}
