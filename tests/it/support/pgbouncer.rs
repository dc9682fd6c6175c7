//! PgBouncer for the tests: a pooler that gives each transaction another connection.

use std::path::Path;
use std::process::Command;

use super::is_root;
use super::server::{Plan, Server, folder, free_port, run};

/// Where Debian and Ubuntu have it, if it is not in the path.
const DEBIAN: &str = "/usr/sbin/pgbouncer";

/// A pooler before one database, with fewer connections than those who use it.
pub(crate) struct PgBouncer {
    url: String,
    _server: Server,
}

impl PgBouncer {
    /// # Panics
    ///
    /// If PgBouncer is not there.
    pub(crate) fn before(url: &str) -> Self {
        let program = if Path::new(DEBIAN).exists() { DEBIAN } else { "pgbouncer" };
        let asked = Command::new(program).arg("--version").output();
        assert!(asked.is_ok(), "PgBouncer is not there: run `tests/run --install`");
        let (folder, port) = (folder(), free_port());
        let settings = folder.join("pgbouncer.ini");
        let (user, place) = url.split_once('@').expect("a user in the address");
        let (user, password) =
            user.trim_start_matches("postgres://").split_once(':').expect("a password");
        let (server, database) = place.split_once('/').expect("a database");
        let (host, at) = server.split_once(':').expect("a port");
        let text = format!(
            "[databases]\n\
             {database} = host={host} port={at} user={user} password={password}\n\
             [pgbouncer]\n\
             listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
             auth_type = any\npool_mode = transaction\ndefault_pool_size = 3\n"
        );
        std::fs::write(&settings, text).expect("a file");
        let mut command = Vec::new();
        if is_root() {
            run(Command::new("chmod").arg("644").arg(&settings));
            let user = ["setpriv", "--reuid", "postgres", "--regid", "postgres", "--clear-groups"];
            command.extend(user.map(Into::into));
        }
        command.extend([program.into(), settings.into()]);
        let plan = Plan { folder, command, signal: "TERM" };
        let ready = move || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
        let server = Server::start(plan, ready);
        Self { url: format!("postgres://{user}@127.0.0.1:{port}/{database}"), _server: server }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }
}
