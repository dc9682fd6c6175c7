//! The documentation is run: journeys in it compile, commands in it work, names in it exist.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use waypost::diagnostic::SourceFile;
use waypost::engine::Reason;
use waypost::journey;
use waypost::postgres::Postgres;
use waypost::shipped;

use crate::support::{self, files, update};
use crate::worker::shop::wait;

const WAYPOST: &str = env!("CARGO_BIN_EXE_waypost");

#[test]
fn journeys_in_the_documentation_compile() {
    let mut found = 0;
    // docs/journeys.md has parts of journeys; tests/it/generated.rs completes and compiles those.
    for (name, text) in documents().into_iter().filter(|(name, _)| name != "docs/journeys.md") {
        for block in blocks(&text, &["yaml"]) {
            if block.lines().any(|line| line.starts_with("journey:")) {
                found += 1;
                let named = block.lines().find(|line| line.starts_with("journey:"));
                let mut files = shipped::journeys();
                files.retain(|file| file.text.lines().all(|line| Some(line) != named));
                files.push(SourceFile::new(name.as_str(), block));
                let (_, report) = journey::compile(&files, None::<&BTreeSet<String>>);
                assert!(report.is_empty(), "{}", report.render(false));
            }
        }
    }
    assert!(found > 0, "the README shows a journey");
    let shown = read("README.md");
    let shown = blocks(&shown, &["yaml"]);
    assert_eq!(shown.first(), Some(&read("journeys/abandoned-cart.yaml").as_str()));
}

#[test]
fn flags_of_commands_in_the_documentation_exist() {
    let mut commands: BTreeSet<Vec<String>> = BTreeSet::new();
    for (_, text) in documents() {
        for block in blocks(&text, &["sh", "console"]) {
            commands.extend(commands_of(block));
        }
    }
    assert!(commands.len() > 10, "the documentation shows commands: {commands:?}");
    let mut seen = BTreeSet::new();
    while let Some(command) = commands.pop_first() {
        if !seen.insert(command.clone()) {
            continue;
        }
        let mut words = command.iter().map(String::as_str).take_while(|w| !w.starts_with('-'));
        let mut path: Vec<&str> = words.next().into_iter().collect();
        if path == ["config"] {
            path.extend(words.next());
        }
        let output = waypost(Path::new("."), &[&path[..], &["--help"]].concat());
        assert!(output.status.success(), "waypost {command:?}: {}", stderr(&output));
        let help = stdout(&output);
        for flag in command.iter().filter(|word| word.starts_with("--") && word.len() > 2) {
            let known = help.split_whitespace().any(|word| word.trim_end_matches(',') == flag);
            assert!(known, "waypost {command:?}: there is no {flag}\n{help}");
        }
        // The examples that help shows are documentation, too.
        let examples = help.lines().filter(|line| line.starts_with("  waypost "));
        commands.extend(examples.flat_map(commands_of));
    }
}

#[test]
fn the_demo_shows_what_the_readme_says() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().display().to_string();
    let demo = waypost(root(), &["demo", "--customers", "300", "--days", "3", "--out", &out]);
    assert!(demo.status.success(), "{}", stderr(&demo));
    let text = read("README.md");
    let shown = blocks(&text, &["text"]);
    let labels = |text: &str| -> BTreeSet<String> {
        let elsewhere = |line: &&str| {
            !line.starts_with("  20") && !line.contains(".ndjson:") && line.trim() != "…"
        };
        text.lines().filter(elsewhere).map(label).collect()
    };
    let expected = labels(shown.first().expect("the demo's output"));
    let printed = labels(&stderr(&demo));
    let strange: Vec<&String> = expected.difference(&printed).collect();
    assert!(strange.is_empty(), "{strange:?} not in\n{}", stderr(&demo));

    // Its page has every section.
    let page = std::fs::read_to_string(folder.path().join("report.html")).expect("the page");
    for section in ["journeys", "time", "withheld", "mails", "story", "run", "next"] {
        assert!(page.contains(&format!("<h2 id=\"{section}\">")), "no {section} in the page");
    }
    the_first_thing_to_try_works(&folder.path().join("journeys"), &stderr(&demo), &page);

    // What the demo decides is what a replay of its events decides.
    let events = folder.path().join("events.ndjson").display().to_string();
    let replay = waypost(root(), &["replay", "--events", &events, "--journeys", "journeys"]);
    assert!(replay.status.success(), "{}", stderr(&replay));
    let decisions = std::fs::read_to_string(folder.path().join("decisions.ndjson"));
    let decisions = decisions.expect("the demo's decisions");
    assert!(stdout(&replay) == decisions, "the replay decides otherwise than the demo");
    the_fields_are_documented(&decisions);
}

/// The command that the demo names first, as it stands there, with journeys that were changed as
/// it says.
fn the_first_thing_to_try_works(journeys: &Path, told: &str, page: &str) {
    let command = told.lines().find(|line| line.contains("--against")).expect("the command");
    let shown = command.trim().replace('>', "&gt;");
    assert!(page.contains(&shown), "the page does not name {shown}");
    let (command, _) = command.trim().split_once(" > ").expect("where the decisions go");
    // Not `cargo run`: a changed journey would make it compile for minutes.
    let program = Path::new(WAYPOST);
    let program = program.strip_prefix(root()).unwrap_or(program).display().to_string();
    let words = command.strip_prefix(&program).expect("the program that was called").trim_start();
    std::fs::create_dir(journeys).expect("a folder");
    for file in files("journeys", "yaml") {
        let text = std::fs::read_to_string(&file).expect("a journey");
        let (from, to) = ("wait_quiet: 1h", "wait_quiet: 4h");
        assert!(told.contains(from) && told.contains(to), "{told}");
        let name = file.file_name().expect("a name");
        std::fs::write(journeys.join(name), text.replace(from, to)).expect("a file");
    }
    let journeys = journeys.display().to_string();
    let words: Vec<&str> = words.split(' ').chain(["--journeys", &journeys]).collect();
    let replay = waypost(root(), &words);
    assert!(replay.status.success(), "{}", stderr(&replay));
    let told = stderr(&replay);
    assert!(told.contains("customers differ; the first"), "{told}");
    assert!(told.contains("abandoned-cart first: send 2026-"), "{told}");
    let same = waypost(root(), &words[..words.len() - 2]);
    assert!(stderr(&same).contains("nobody differs"), "{}", stderr(&same));
}

/// Every field of a line stands in the table of docs/replay.md, and the other way round.
fn the_fields_are_documented(decisions: &str) {
    let text = read("docs/replay.md");
    let table = text.split_once("| field |").expect("the table").1;
    let documented: BTreeSet<String> = table
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .filter_map(|line| Some(line.split('`').nth(1)?.to_owned()))
        .collect();
    let mut written = BTreeSet::new();
    for line in decisions.lines() {
        let line: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(line).expect("an object");
        written.extend(line.into_iter().map(|(name, _)| name));
    }
    assert_eq!(documented, written);
}

#[test]
fn reasons_are_documented() {
    let name = "docs/replay.md";
    let text = read(name);
    let rows: String =
        Reason::ALL.iter().map(|(_, word, means)| format!("| `{word}` | {means} |\n")).collect();
    let (open, close) = ("<!-- reasons -->\n", "<!-- /reasons -->");
    let (before, rest) = text.split_once(open).expect("the section begins");
    let (_, after) = rest.split_once(close).expect("the section ends");
    let expected = format!("{before}{open}| reason | meaning |\n|---|---|\n{rows}{close}{after}");
    if update() {
        std::fs::write(root().join(name), expected).expect("the file is written");
        return;
    }
    assert_eq!(text, expected, "{name} is stale: run the tests with UPDATE=1");
}

/// The recipe of docs/replay.md, as it stands there.
#[test]
fn two_replays_are_compared_as_described() {
    let folder = tempfile::tempdir().expect("a folder");
    let week = ["generate", "--customers", "200", "--days", "2", "--out", "week.ndjson"];
    let made = waypost(folder.path(), &week);
    assert!(made.status.success(), "{}", stderr(&made));
    for (name, wait) in [("journeys", "wait_quiet: 1h"), ("changed", "wait_quiet: 4h")] {
        std::fs::create_dir(folder.path().join(name)).expect("a folder");
        for journey in shipped::journeys() {
            let file = journey.path.replace("journeys", name);
            let text = journey.text.replace("wait_quiet: 1h", wait);
            std::fs::write(folder.path().join(file), text).expect("a file");
        }
    }
    let text = read("docs/replay.md");
    let recipe = blocks(&text, &["sh"]).into_iter().find(|block| block.contains("diff "));
    let path = Path::new(WAYPOST).parent().expect("a folder").display().to_string();
    let inherited = std::env::var_os("PATH").unwrap_or_default();
    let output = Command::new("sh")
        .args(["-c", recipe.expect("the recipe")])
        .env("PATH", format!("{path}:{}", inherited.display()))
        .current_dir(folder.path())
        .output()
        .expect("sh runs");
    let differences = stdout(&output);
    assert!(differences.contains("\n> {\"at\""), "{differences}\n{}", stderr(&output));
    assert!(!differences.contains("version") && !differences.contains("data"), "{differences}");
}

/// The worker as the README runs it, in its small shop: events by HTTP, a mail within seconds, why.
#[cfg(unix)]
#[test]
fn the_worker_does_what_the_readme_says() {
    let text = read("README.md");
    assert!(text.contains("\ncd examples/shop\nwaypost doctor"), "it runs in its folder");
    let folder = tempfile::tempdir().expect("a folder");
    let shop = root().join("examples/shop");
    std::fs::create_dir(folder.path().join("journeys")).expect("a folder");
    for file in ["waypost.yaml", "journeys/cart-in-seconds.yaml"] {
        std::fs::copy(shop.join(file), folder.path().join(file)).expect("a copy");
    }
    let templates = root().join("templates").display().to_string();
    let settings = [
        ("WAYPOST_TEMPLATES", templates.as_str()),
        ("WAYPOST_HTTP_PUBLIC", "127.0.0.1:0"),
        ("WAYPOST_HTTP_LISTEN", "127.0.0.1:0"),
    ];
    let check = binary(folder.path()).arg("check").envs(settings).output().expect("it runs");
    assert!(stderr(&check).ends_with(" checked: no mistakes\n"), "{}", stderr(&check));
    let worker = binary(folder.path()).arg("run").envs(settings).stderr(Stdio::piped()).spawn();
    let mut worker = Running(worker.expect("the worker starts"));
    let mut talk = BufReader::new(worker.0.stderr.take().expect("its standard error"));
    let mut address = String::new();
    while !address.contains("listening on ") {
        address.clear();
        let length = talk.read_line(&mut address).expect("a line");
        assert!(length > 0, "the worker ended before it listened");
    }
    let address = address.trim().trim_start_matches("listening on ");

    let expected = blocks(&text, &["json"])[0];
    let bodies: Vec<&str> = text
        .split("/events -d '")
        .skip(1)
        .map(|rest| rest.split('\'').next().expect("its end"))
        .collect();
    assert_eq!(bodies.len(), 2, "the consent and the cart");
    for body in bodies {
        let mut answer =
            ureq::post(format!("{address}/events")).send(body).expect("the worker answers");
        assert_eq!(answer.status(), 202);
        assert_eq!(answer.body_mut().read_to_string().expect("a body"), expected.trim());
    }
    let caught = folder.path().join("data/caught");
    let mut mail = None;
    wait("the mail", || {
        let list = stdout(&waypost(folder.path(), &["messages", "list"]));
        let files = std::fs::read_dir(&caught).into_iter().flatten().flatten();
        let mut files = files.map(|file| file.path());
        mail = files.find(|path| path.extension() == Some("eml".as_ref()));
        mail.is_some() && list.contains("  sent")
    });
    let mail = mail.expect("the mail");
    let mail = std::fs::read_to_string(mail).expect("the mail");
    assert!(mail.contains("To: ann@shop.example") && mail.contains("From: \"My Shop\""), "{mail}");

    let killed = Command::new("sh").args(["-c", &format!("kill {}", worker.0.id())]).status();
    assert!(killed.expect("sh runs").success());
    let mut last_words = String::new();
    talk.read_to_string(&mut last_words).expect("its last words");
    assert!(worker.0.wait().expect("it ends").success(), "{last_words}");
    assert!(last_words.ends_with("stopped\n"), "{last_words}");

    let why = waypost(folder.path(), &["why", "ann@shop.example"]);
    let told = stdout(&why);
    for part in
        ["an***@shop.example", "1 x ts001", "cart-in-seconds starts, because of cart.changed"]
    {
        assert!(told.contains(part), "{part} is not in\n{told}{}", stderr(&why));
    }
    let report = waypost(folder.path(), &["report"]);
    assert!(stdout(&report).contains("\ncart-in-seconds "), "{}", stdout(&report));
    let verify = waypost(folder.path(), &["verify"]);
    assert!(verify.status.success() && stderr(&verify).contains("no difference"));
    std::fs::write(
        folder.path().join("crm.ndjson"),
        r#"{"specversion":"1.0","id":"p1","source":"crm","type":"customer.updated","data":{"customer":{"id":"43"}}}"#,
    )
    .expect("a file");
    let import = waypost(folder.path(), &["import", "profiles", "crm.ndjson"]);
    assert!(import.status.success() && stderr(&import).contains("1 events loaded"));
}

/// A process that does not outlive its test.
struct Running(std::process::Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended, as it should.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn checking_shows_mistakes_and_their_exit_code() {
    let folder = tempfile::tempdir().expect("a folder");
    let journeys = root().join("journeys").display().to_string();
    let check = waypost(folder.path(), &["check", &journeys]);
    assert_eq!((check.status.code(), stdout(&check)), (Some(0), String::new()));
    std::fs::write(folder.path().join("waypost.yaml"), "http: { listn: 1 }\n").expect("a file");
    for command in [&["config", "check"][..], &["config", "show"], &["check", &journeys]] {
        let output = waypost(folder.path(), command);
        assert_eq!(output.status.code(), Some(1), "{command:?}");
        let told = stderr(&output);
        assert!(told.contains("waypost.yaml:1:9") && told.contains("did you mean"), "{told}");
    }
    let text = "inputs: { erp: { format: mapping, mapping: erp.yaml } }\n";
    std::fs::write(folder.path().join("waypost.yaml"), text).expect("a file");
    let output = waypost(folder.path(), &["config", "check"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("erp.yaml"), "{}", stderr(&output));
    std::fs::write(folder.path().join("waypost.yaml"), "http: { token: very-secret-token }\n")
        .expect("a file");
    let output = waypost(folder.path(), &["config", "show", "--json"]);
    let listed = stdout(&output);
    let token = r#"{"from":"waypost.yaml:1","key":"http.token","value":"***"}"#;
    assert!(listed.lines().any(|line| line == token), "{listed}");
    assert!(!listed.contains("very-secret"), "{listed}");
}

#[test]
fn the_example_of_production_is_sound() {
    let folder = root().join("examples/production");
    let check = waypost(&folder, &["--config", "waypost.yaml", "config", "check"]);
    assert!(check.status.success(), "{}", stderr(&check));
    assert_eq!(stderr(&check), "waypost.yaml checked: no mistakes\n");
    // Kubernetes has a copy of it.
    let indented: String = read("examples/production/waypost.yaml")
        .lines()
        .map(|line| if line.is_empty() { "\n".to_owned() } else { format!("    {line}\n") })
        .collect();
    let kubernetes = read("examples/production/kubernetes.yaml");
    assert!(kubernetes.contains(&indented), "kubernetes.yaml has another waypost.yaml");
}

#[test]
fn systemd_takes_the_service() {
    if !support::full("systemd_takes_the_service", "systemd-analyze") {
        return;
    }
    // A program that is there, since Waypost is not installed.
    let text = read("examples/production/waypost.service");
    let text = text.replace("ExecStart=/usr/local/bin/waypost", "ExecStart=/bin/true");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("waypost.service");
    std::fs::write(&file, text).expect("a file");
    let done = Command::new("systemd-analyze").arg("verify").arg(&file).output();
    let done = done.expect("systemd-analyze starts");
    // A line that it does not know is only warned of.
    assert!(done.status.success() && done.stderr.is_empty(), "{}", stderr(&done));
}

#[tokio::test]
async fn sql_in_the_documentation_fits_the_tables() {
    let url = support::postgres().fresh_database();
    let database = Postgres::connect(&url, None, 2).await.expect("a database");
    database.migrate().await.expect("its tables");
    let mut connection = PgConnection::connect(&url).await.expect("a database");
    let mut blocks_found = 0;
    for (name, text) in documents() {
        for block in blocks(&text, &["sql"]) {
            blocks_found += 1;
            let done = connection.execute(AssertSqlSafe(block.to_owned())).await;
            assert!(done.is_ok(), "{name}: {done:?}\n{block}");
        }
    }
    assert!(blocks_found > 5, "the runbook has SQL: {blocks_found}");
}

#[test]
fn links_lead_somewhere() {
    for (name, text) in documents() {
        let folder = root().join(&name).parent().expect("a folder").to_owned();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = target.split('#').next().unwrap_or_default();
            if !file.is_empty() && !target.contains("://") {
                assert!(folder.join(file).exists(), "{name} links to {target}, which is not there");
            }
        }
    }
}

#[test]
fn names_in_the_architecture_exist() {
    let sources: Vec<(PathBuf, String)> = rust_files(&root().join("src"));
    let text = read("docs/architecture.md");
    let prose: String = text.split("```").step_by(2).collect();
    let mut names = 0;
    let mut unknown = Vec::new();
    for name in prose.split('`').skip(1).step_by(2) {
        if name.contains('/') && !name.contains(' ') {
            assert!(root().join(name).exists(), "there is no {name}");
            continue;
        }
        let is_path = name.chars().all(|c| c.is_alphanumeric() || c == '_' || c == ':');
        if !is_path {
            continue;
        }
        names += 1;
        let known = match name.split_once("::") {
            Some((owner, member)) => sources.iter().any(|(path, text)| {
                let owns = is_module(path, owner) || text.lines().any(|line| owns(line, owner));
                owns && (has(text, &format!("fn {member}")) || is_variant(text, owner, member))
            }),
            None => sources.iter().any(|(path, text)| is_module(path, name) || has(text, name)),
        };
        if !known {
            unknown.push(name);
        }
    }
    assert!(
        unknown.is_empty(),
        "docs/architecture.md speaks of what src does not have: {unknown:?}"
    );
    assert!(names > 80, "the names are found: {names}");
    let lines = text.lines().count();
    assert!(lines <= 300, "docs/architecture.md has {lines} lines; leave out what code says");
}

fn is_module(path: &Path, name: &str) -> bool {
    let folder = path.parent().and_then(Path::file_name).is_some_and(|folder| folder == name);
    folder || path.file_stem().is_some_and(|stem| stem == name)
}

/// Whether a line begins a type or what a type can do.
fn owns(line: &str, owner: &str) -> bool {
    let line = line.trim_start_matches("pub(super) ").trim_start_matches("pub ");
    ["struct ", "enum ", "trait ", "impl"].iter().any(|word| line.starts_with(word))
        && has(line, owner)
}

/// Whether an enum of this text has the variant.
fn is_variant(text: &str, owner: &str, variant: &str) -> bool {
    let Some((_, rest)) = text.split_once(&format!("enum {owner} ")) else { return false };
    rest.split("\n}").next().is_some_and(|body| has(body, variant))
}

/// Whether the text has these words, whole.
fn has(text: &str, words: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(words).any(|(at, _)| {
        !text[..at].chars().next_back().is_some_and(is_word)
            && !text[at + words.len()..].chars().next().is_some_and(is_word)
    })
}

fn rust_files(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).expect("a text");
            found.push((path, text));
        }
    }
    found
}

/// The README and all of docs, by their paths.
fn documents() -> Vec<(String, String)> {
    let mut names: Vec<String> =
        ["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"].map(Into::into).into();
    for folder in ["docs", "docs/decisions"] {
        names.extend(
            files(folder, "md").iter().map(|path| {
                path.strip_prefix(root()).expect("below the root").display().to_string()
            }),
        );
    }
    names.into_iter().map(|name| (name.clone(), read(&name))).collect()
}

/// The fenced blocks of a text in these languages.
fn blocks<'t>(text: &'t str, languages: &[&str]) -> Vec<&'t str> {
    let fenced = text.split("```").skip(1).step_by(2);
    let of_language = |block: &'t str| {
        let (language, content) = block.split_once('\n')?;
        languages.contains(&language).then_some(content)
    };
    fenced.filter_map(of_language).collect()
}

/// The arguments of each `waypost` in a shell text: also behind a pipe, and as cargo runs it.
fn commands_of(text: &str) -> Vec<Vec<String>> {
    let text = text.replace("cargo run --release -- ", "waypost ");
    let mut commands = Vec::new();
    for line in text.lines() {
        let line = line.split(" #").next().unwrap_or_default();
        for part in line.split(['|', ';', '>']) {
            let mut words = part.split_whitespace();
            if words.next() == Some("waypost") {
                // Help aligns what an example is for behind two spaces.
                let part = part.trim_start().split("   ").next().unwrap_or_default();
                commands.push(part.split_whitespace().skip(1).map(str::to_owned).collect());
            }
        }
    }
    commands
}

/// A line without its numbers and their spaces.
fn label(line: &str) -> String {
    // Who that is depends on how many customers there are.
    if let Some((nobody, _)) = line.split_once("nobody started: ") {
        return format!("{nobody}nobody started: NAMES");
    }
    let words = line.split_whitespace().map(|word| {
        let digits = word.chars().any(|c| c.is_ascii_digit());
        let path = word.contains(".ndjson") || word.contains(".html");
        if path {
            "FILE"
        } else if digits {
            "N"
        } else {
            word
        }
    });
    words.collect::<Vec<_>>().join(" ")
}

fn waypost(folder: &Path, arguments: &[&str]) -> Output {
    binary(folder).args(arguments).output().expect("the binary runs")
}

/// The binary, in a folder, without settings that happen to be in the environment.
fn binary(folder: &Path) -> Command {
    let mut command = Command::new(WAYPOST);
    command.current_dir(folder).env("NO_COLOR", "1");
    for (name, _) in std::env::vars_os().filter(|(name, _)| is_setting(name)) {
        command.env_remove(name);
    }
    command
}

fn is_setting(name: &std::ffi::OsStr) -> bool {
    name.to_string_lossy().starts_with("WAYPOST_")
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}
