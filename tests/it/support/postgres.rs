//! Postgres for the tests: one server for all of them, or one of a test's own.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

use super::is_root;
use super::server::{Plan, Server, folder, free_port, given, run, unique};

/// Names a server that is there already: `postgres://USER:PASSWORD@HOST:PORT`, of a user who may
/// create databases.
const GIVEN: &str = "WAYPOST_TEST_POSTGRES";

/// Where Debian and Ubuntu have it: a folder for each version, not in the path.
const DEBIAN: &str = "/usr/lib/postgresql";

/// The user that Debian and Ubuntu make for it: it does not run as root.
const USER: &str = "postgres";

const PASSWORD: &str = "no-secret";

/// A Postgres server with databases of the tests.
pub(crate) struct Postgres {
    /// Without a database.
    url: String,
    server: Option<Server>,
}

/// The server that the tests share: the one that `WAYPOST_TEST_POSTGRES` names, else one that runs
/// as long as the test process. It is started at the first call.
///
/// # Panics
///
/// If Postgres is not there.
pub(crate) fn postgres() -> &'static Postgres {
    static SHARED: OnceLock<Postgres> = OnceLock::new();
    SHARED.get_or_init(|| match given(GIVEN) {
        Some(url) => Postgres { url: url.trim_end_matches('/').to_owned(), server: None },
        None => Postgres::own(&[]),
    })
}

impl Postgres {
    /// A server of a test's own, which it may kill; `settings` are as in `postgresql.conf`.
    /// Unless they say otherwise, what it commits is on the disk.
    pub(crate) fn own(settings: &[(&str, &str)]) -> Self {
        let programs = programs();
        let (folder, port) = (folder(), free_port());
        let (data, password) = (folder.join("data"), folder.join("password"));
        std::fs::create_dir(&data).expect("a folder");
        std::fs::write(&password, PASSWORD).expect("a file");
        if is_root() {
            run(Command::new("chown").arg(USER).arg(&data).arg(&password));
        }
        let mut init = as_user(&programs.join("initdb"));
        init.extend(["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"].map(Into::into));
        init.extend(["--no-sync", "--username=postgres", "--pwfile"].map(Into::into));
        init.extend([password.into(), "--pgdata".into(), data.clone().into()]);
        run(Command::new(&init[0]).args(&init[1..]).current_dir("/"));
        let mut command = as_user(&programs.join("postgres"));
        command.extend(["-D".into(), data.into()]);
        let all = [
            ("listen_addresses", "127.0.0.1"),
            ("port", &port.to_string()),
            ("unix_socket_directories", ""),
            ("max_connections", "200"),
        ];
        for (key, value) in all.iter().chain(settings) {
            command.extend(["-c".into(), format!("{key}={value}").into()]);
        }
        // An immediate shutdown: nothing is written, and its processes end with it, so that it
        // can be started again at once. The next start recovers as after a crash.
        let plan = Plan { folder, command, signal: "QUIT" };
        let url = format!("postgres://{USER}:{PASSWORD}@127.0.0.1:{port}");
        let server = Server::start(plan, answers(&url));
        Self { url, server: Some(server) }
    }

    /// Where it listens, as `HOST:PORT`.
    pub(crate) fn address(&self) -> &str {
        self.url.rsplit('@').next().expect("a URL has parts")
    }

    /// Makes an empty database and gives its URL.
    pub(crate) fn fresh_database(&self) -> String {
        let name = unique("database");
        let create = format!("CREATE DATABASE {name}");
        apart(async {
            let mut server = PgConnection::connect(&format!("{}/postgres", self.url)).await?;
            server.execute(AssertSqlSafe(create)).await?;
            server.close().await
        })
        .expect("the server makes a database");
        format!("{}/{name}", self.url)
    }

    /// Ends it as a crash does: without writing anything. Only for a server of the test's own.
    pub(crate) fn kill(&mut self) {
        self.server.as_mut().expect("it is this test's own").kill();
    }

    /// Starts it again after [`Postgres::kill`], with the same port and data.
    pub(crate) fn restart(&mut self) {
        let ready = answers(&self.url);
        self.server.as_mut().expect("it is this test's own").again(ready);
    }
}

/// Writes a database as it is now into a file, as `pg_dump` does; workers may be running.
pub(crate) fn dump(database: &str, file: &Path) {
    let program = programs().join("pg_dump");
    run(Command::new(program).arg("--dbname").arg(database).arg("--file").arg(file));
}

/// Makes a database what it was when it was dumped.
pub(crate) fn restore(database: &str, file: &Path) {
    let (server, name) = database.rsplit_once('/').expect("a database");
    apart(async {
        let mut server = PgConnection::connect(&format!("{server}/postgres")).await?;
        for sql in [format!("DROP DATABASE {name} WITH (FORCE)"), format!("CREATE DATABASE {name}")]
        {
            server.execute(AssertSqlSafe(sql)).await?;
        }
        server.close().await
    })
    .expect("the server makes the database anew");
    let mut psql = Command::new(programs().join("psql"));
    psql.args(["--quiet", "--no-psqlrc", "--set", "ON_ERROR_STOP=1", "--dbname", database]);
    run(psql.arg("--file").arg(file));
}

/// Whether a server takes connections.
fn answers(url: &str) -> impl FnMut() -> bool + use<> {
    let url = format!("{url}/postgres");
    move || apart(async { PgConnection::connect(&url).await?.close().await }).is_ok()
}

/// The value of a future that waits for the network, on a thread of its own: the caller may be in
/// a runtime or not.
fn apart<T: Send>(future: impl Future<Output = T> + Send) -> T {
    let run = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(future)
    };
    std::thread::scope(|scope| scope.spawn(run).join().expect("nothing panics there"))
}

/// A command that is not run as root.
fn as_user(program: &Path) -> Vec<OsString> {
    let mut command: Vec<OsString> = Vec::new();
    if is_root() {
        let user = ["setpriv", "--reuid", USER, "--regid", USER, "--clear-groups"];
        command.extend(user.map(Into::into));
    }
    command.push(program.into());
    command
}

/// The folder of Postgres's programs: of the newest version that is there.
fn programs() -> PathBuf {
    let versions = std::fs::read_dir(DEBIAN).into_iter().flatten().flatten();
    let debian = versions.filter_map(|version| {
        let number: u32 = version.file_name().to_str()?.parse().ok()?;
        Some((number, version.path().join("bin")))
    });
    let mut debian: Vec<_> = debian.collect();
    debian.sort();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let newest_first = debian.into_iter().rev().map(|(_, programs)| programs);
    let there =
        |folder: &PathBuf| folder.join("initdb").exists() && folder.join("postgres").exists();
    newest_first.chain(path).find(there).unwrap_or_else(|| {
        panic!(
            "Postgres is not there, neither in {DEBIAN} nor in PATH: run `tests/run --install`, \
             or set {GIVEN} to postgres://USER:PASSWORD@HOST:PORT"
        )
    })
}
