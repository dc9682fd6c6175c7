//! A shop on this machine: a folder with configuration and journeys, and the real process on it.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use tempfile::TempDir;
use waypost::store::{Ledger, SqliteLedger};

/// No condition may take longer to come true on a busy machine.
const DEADLINE: Duration = Duration::from_secs(60);
/// Between two looks at a condition.
const LOOK: Duration = Duration::from_millis(10);

/// A folder with all that a worker needs.
pub(crate) struct Shop {
    folder: TempDir,
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Done {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Shop {
    /// A shop whose log has this many partitions, with one journey file for each text.
    pub(crate) fn new(partitions: u32, journeys: &[(&str, &str)]) -> Self {
        let shop = Self { folder: tempfile::tempdir().expect("a folder") };
        shop.configure(partitions, "");
        std::fs::create_dir(shop.path("journeys")).expect("a folder");
        std::fs::create_dir(shop.path("data")).expect("a folder");
        for (name, text) in journeys {
            shop.write(&format!("journeys/{name}.yaml"), text);
        }
        shop
    }

    /// Writes the configuration, with further lines.
    pub(crate) fn configure(&self, partitions: u32, more: &str) {
        self.write(
            "waypost.yaml",
            &format!(
                "store: {{ log: data/log.db, state: data/state.db, partitions: {partitions} }}\n\
             http: {{ listen: 127.0.0.1:0, public: 127.0.0.1:0 }}\n\
             ticks: {{ every: 20ms, grace: 5ms }}\n\
             consent: [ {{ channel: email, mode: opt_in }} ]\n{more}"
            ),
        );
    }

    /// A plain template for each one that a journey names.
    fn plain_templates(&self, journey: &str) {
        let words = journey.split(|c: char| c.is_whitespace() || "{}[],".contains(c));
        let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
        for pair in words.windows(2) {
            let (file, text) = match pair[0] {
                "email:" | "template:" => (
                    "email.html",
                    "---\nsubject: Hello\npreheader: It is us.\n---\n<html lang=\"en\"><body><p>Hello.</p>\
                     <p>{{default shop.postal_address \"\"}} {{default unsubscribe_url \"\"}}</p>\
                     </body></html>\n",
                ),
                "sms:" => ("sms.txt", "Hello.\n"),
                _ => continue,
            };
            if pair[1].contains('/') {
                let folder = self.path("templates").join(pair[1]);
                std::fs::create_dir_all(&folder).expect("a folder");
                std::fs::write(folder.join(file), text).expect("a template");
                std::fs::write(folder.join("sample.json"), "{}").expect("a sample");
            }
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).expect("the file can be written");
        if name.starts_with("journeys/") {
            self.plain_templates(text);
        }
    }

    /// The command, in the shop's folder and with nothing of this process's environment.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_waypost"));
        command.args(args).current_dir(self.folder.path()).env_clear().stdin(Stdio::null());
        command
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Done {
        let output = self.command(args).output().expect("the command starts");
        Done {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).expect("stdout is text"),
            stderr: String::from_utf8(output.stderr).expect("stderr is text"),
        }
    }

    /// Starts the worker and waits until it listens.
    pub(crate) fn start(&self) -> Worker {
        self.start_with(&["run"], Stdio::null()).unwrap_or_else(|done| {
            panic!("the worker did not start: {done:?}");
        })
    }

    /// Starts the worker; how it ended, if it did before it listened.
    pub(crate) fn start_with(&self, args: &[&str], stdin: Stdio) -> Result<Worker, Done> {
        self.spawn(&mut self.command(args), stdin)
    }

    /// Starts the worker by another program, which becomes it.
    pub(crate) fn start_by(
        &self,
        program: &[&str],
        args: &[&str],
        stdin: Stdio,
    ) -> Result<Worker, Done> {
        let own = self.command(args);
        let mut command = Command::new(program[0]);
        command.args(&program[1..]).arg(own.get_program()).args(own.get_args());
        command.current_dir(self.folder.path()).env_clear();
        self.spawn(&mut command, stdin)
    }

    /// Starts the worker by a command.
    pub(crate) fn spawn(&self, command: &mut Command, stdin: Stdio) -> Result<Worker, Done> {
        command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the worker starts");
        let stderr = child.stderr.take().expect("its stderr");
        let said = Arc::new(Mutex::new(String::new()));
        let (found, listening) = mpsc::channel();
        let keeps = Arc::clone(&said);
        let reading = std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines() {
                let line = line.expect("stderr is text");
                if let Some((_, address)) = line.split_once("listening on ") {
                    // Among what is said as JSON it ends with the text.
                    let end = address.find('"').unwrap_or(address.len());
                    let _ = found.send(address[..end].to_owned());
                }
                let mut said = keeps.lock().expect("nobody panicked");
                said.push_str(&line);
                said.push('\n');
            }
        });
        let mut worker =
            Worker { child: Some(child), said, reading: Some(reading), url: String::new() };
        match listening.recv_timeout(DEADLINE) {
            Ok(url) => {
                worker.url = url;
                Ok(worker)
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => Err(worker.ended()),
            Err(mpsc::RecvTimeoutError::Timeout) => {
                panic!("the worker neither listens nor ends: {}", worker.kill())
            }
        }
    }

    /// Asserts that the worker can't start, with an exit code and words on stderr.
    pub(crate) fn refuses(&self, code: i32, words: &[&str]) -> String {
        let Err(done) = self.start_with(&["run"], Stdio::null()) else {
            panic!("the worker started");
        };
        assert_eq!(done.code, Some(code), "{done:?}");
        for word in words {
            assert!(done.stderr.contains(word), "no `{word}` in:\n{}", done.stderr);
        }
        assert_eq!(done.stdout, "");
        done.stderr
    }

    /// Asserts that `verify` finds no difference, and returns its figures.
    pub(crate) fn verified(&self) -> serde_json::Value {
        let done = self.run(&["verify", "--json"]);
        assert_eq!(done.code, Some(0), "{}\n{}", done.stdout, done.stderr);
        let report: serde_json::Value = serde_json::from_str(&done.stdout).expect("json");
        assert_eq!(report["differences"], 0, "{report}");
        report
    }

    /// Waits until a query of the state store gives the number.
    pub(crate) fn wait_for(&self, what: &str, sql: &str, wanted: impl Fn(i64) -> bool) {
        wait(what, || wanted(self.count("data/state.db", sql)));
    }

    /// The number that a query of one of the files gives.
    pub(crate) fn count(&self, file: &str, sql: &str) -> i64 {
        number(&self.path(file), sql)
    }

    /// The rows that a query of one of the files gives.
    pub(super) fn rows<T>(&self, file: &str, sql: &str) -> Vec<T>
    where
        T: for<'r> sqlx::FromRow<'r, sqlx::sqlite::SqliteRow> + Send + Unpin,
    {
        in_runtime(async {
            let mut file = read(&self.path(file)).await;
            let sql = sqlx::AssertSqlSafe(sql.to_owned());
            sqlx::query_as(sql).fetch_all(&mut file).await.expect("rows")
        })
    }

    /// Runs statements on a file beside the worker.
    pub(super) fn change(&self, file: &str, sql: &'static str) {
        let mut file = self.writing(file);
        in_runtime(async {
            sqlx::raw_sql(sql).execute(&mut file).await.expect("the statements");
        });
    }

    fn writing(&self, file: &str) -> sqlx::SqliteConnection {
        use sqlx::Connection;
        let options = sqlx::sqlite::SqliteConnectOptions::new()
            .filename(self.path(file))
            .busy_timeout(DEADLINE);
        in_runtime(sqlx::SqliteConnection::connect_with(&options)).expect("it opens")
    }

    /// Locks a file as a SQL shell in a transaction does.
    pub(super) fn lock(&self, file: &str) -> Locked {
        let mut file = self.writing(file);
        in_runtime(async {
            sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut file).await.expect("the lock");
        });
        Locked(file)
    }

    /// The text that a query of one of the files gives.
    pub(crate) fn text(&self, file: &str, sql: &str) -> String {
        in_runtime(async {
            let mut file = read(&self.path(file)).await;
            let sql = sqlx::AssertSqlSafe(sql.to_owned());
            sqlx::query_scalar(sql).fetch_one(&mut file).await.expect("a text")
        })
    }

    /// Waits until every lane has applied everything that the log holds at this moment.
    pub(crate) fn wait_until_applied(&self) {
        let now = self.count("data/log.db", "SELECT coalesce(max(appended_at), 0) FROM batches");
        let path = self.path("data/state.db");
        wait("all lanes to pass what was accepted", || {
            in_runtime(async {
                let ledger = SqliteLedger::open(&path).await.expect("the store opens");
                let lanes = ledger.lanes().await.expect("the lanes are there");
                !lanes.is_empty()
                    && lanes
                        .iter()
                        .all(|lane| lane.position.watermark.is_some_and(|w| w.ms() > now))
            })
        });
    }
}

/// A file that this process has locked.
pub(super) struct Locked(sqlx::SqliteConnection);

impl Locked {
    pub(super) fn release(mut self) {
        in_runtime(async {
            sqlx::raw_sql("ROLLBACK").execute(&mut self.0).await.expect("the end of the lock");
        });
    }
}

/// A running worker; it is killed when it is dropped.
pub(crate) struct Worker {
    child: Option<Child>,
    said: Arc<Mutex<String>>,
    reading: Option<std::thread::JoinHandle<()>>,
    url: String,
}

impl Worker {
    /// Where it listens, such as `http://127.0.0.1:40000`.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Posts to `/events` and asserts that all of it was taken.
    pub(crate) fn takes(&self, body: &str) {
        let (status, answer) =
            post(&self.url, "/events", body.as_bytes(), None).expect("an answer");
        assert_eq!(status, 202, "{answer}");
        assert!(answer.contains("\"rejected\":[]"), "{answer}");
    }

    /// Posts to a path: the status and the body of the answer.
    pub(crate) fn post(&self, path: &str, body: &[u8]) -> (u16, String) {
        post(&self.url, path, body, None).expect("an answer")
    }

    /// What it has said so far.
    pub(crate) fn said(&self) -> String {
        self.said.lock().expect("nobody panicked").clone()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
    }

    /// `kill -9`; what it said.
    pub(crate) fn kill(mut self) -> String {
        let _ = self.child.as_mut().expect("it runs").kill();
        self.ended().stderr
    }

    /// Asks it to stop, and waits until it has.
    pub(crate) fn stop(self) -> Done {
        self.signal();
        self.ended()
    }

    /// Asks it to stop.
    pub(crate) fn signal(&self) {
        let pid = self.pid().to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status().expect("kill is there");
        assert!(sent.success());
    }

    /// Asks it to stop, and asserts that it did well.
    pub(crate) fn stops(self) -> String {
        let done = self.stop();
        assert_eq!(done.code, Some(0), "{}", done.stderr);
        assert!(done.stderr.ends_with("stopped\n"), "{}", done.stderr);
        assert_eq!(done.stdout, "");
        done.stderr
    }

    /// Waits until it has ended.
    pub(crate) fn ended(mut self) -> Done {
        let mut child = self.child.take().expect("it ran");
        let mut code = None;
        let ended = holds(DEADLINE, || {
            let ended = child.try_wait().expect("it can be asked");
            code = ended.and_then(|status| status.code());
            ended.is_some()
        });
        if !ended {
            let _ = child.kill();
            let _ = child.wait();
        }
        let mut stdout = String::new();
        if let Some(mut pipe) = child.stdout.take() {
            use std::io::Read;
            pipe.read_to_string(&mut stdout).expect("stdout is text");
        }
        self.reading.take().expect("it was read").join().expect("stderr was read");
        let stderr = self.said();
        assert!(ended, "the worker does not end:\n{stderr}");
        Done { code, stdout, stderr }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Posts a body; `None` if there was no answer.
pub(crate) fn post(
    url: &str,
    path: &str,
    body: &[u8],
    token: Option<&str>,
) -> Option<(u16, String)> {
    let mut request = agent().post(format!("{url}{path}"));
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let mut answer = request.send(body).ok()?;
    let text = answer.body_mut().read_to_string().ok()?;
    Some((answer.status().as_u16(), text))
}

/// Gets a page: its status and body; `None` if there was no answer.
pub(crate) fn get(url: &str, path: &str) -> Option<(u16, String)> {
    let mut answer = agent().get(format!("{url}{path}")).call().ok()?;
    let text = answer.body_mut().read_to_string().ok()?;
    Some((answer.status().as_u16(), text))
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(DEADLINE))
        .build()
        .into()
}

/// Waits until a condition holds.
pub(crate) fn wait(what: &str, condition: impl FnMut() -> bool) {
    wait_at_most(DEADLINE, what, condition);
}

/// Waits until a condition holds that may take longer than others.
pub(crate) fn wait_at_most(limit: Duration, what: &str, condition: impl FnMut() -> bool) {
    assert!(holds(limit, condition), "waited too long for {what}");
}

#[expect(clippy::disallowed_methods, reason = "a test that hangs must end")]
fn holds(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let since = std::time::Instant::now();
    while !condition() {
        if since.elapsed() > limit {
            return false;
        }
        std::thread::sleep(LOOK);
    }
    true
}

/// The time now.
pub(crate) fn now() -> waypost::model::Timestamp {
    use waypost::worker::Clock;
    waypost::worker::SystemClock.now()
}

/// The number that a query of a SQLite file gives.
pub(crate) fn number(path: &Path, sql: &str) -> i64 {
    in_runtime(async {
        let mut file = read(path).await;
        let sql = sqlx::AssertSqlSafe(sql.to_owned());
        sqlx::query_scalar(sql).fetch_one(&mut file).await.expect("a number")
    })
}

async fn read(path: &Path) -> sqlx::SqliteConnection {
    use sqlx::Connection;
    let options = sqlx::sqlite::SqliteConnectOptions::new()
        .filename(path)
        .read_only(true)
        .busy_timeout(DEADLINE);
    sqlx::SqliteConnection::connect_with(&options).await.expect("the file opens")
}

/// Runs a future that reads files.
pub(crate) fn in_runtime<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(future)
}
