//! Servers of the tests' own: started, asked whether they are ready, killed, and gone when the
//! test process is, however it ends.

use std::ffi::OsString;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::time::Duration;

/// The longest that a server may take to be ready; a loaded machine needs a tenth of it.
const READY: Duration = Duration::from_secs(120);

/// Runs a server until a line comes on standard input, or its end: then it signals the server and
/// waits for it. The end comes when the test process is gone, in whatever way; then nobody needs
/// the folder any more. If the server ends by itself, this does too.
const WARDEN: &str = r#"
signal=$1 folder=$2
shift 2
exec 3<&0
"$@" </dev/null 3<&- &
server=$!
{
    read -r line <&3
    told=$?
    trap '' TERM
    kill -s "$signal" "$server"
    exit "$told"
} &
reader=$!
wait "$server"
kill "$reader"
wait "$reader"
[ "$?" != 1 ] || rm -rf "$folder"
"#;

/// How to run a server.
pub(super) struct Plan {
    /// What it keeps, and its output in `output.txt`; removed at the end.
    pub(super) folder: PathBuf,
    pub(super) command: Vec<OsString>,
    /// What ends it at once, without anything that it would do in an orderly stop.
    pub(super) signal: &'static str,
}

/// A server, which ends together with this value or the test process.
pub(super) struct Server {
    plan: Plan,
    warden: Option<Child>,
}

impl Server {
    /// Starts it and waits until `ready` says so.
    pub(super) fn start(plan: Plan, ready: impl FnMut() -> bool) -> Self {
        let mut server = Self { plan, warden: None };
        server.again(ready);
        server
    }

    /// Starts it again, with the same command and folder.
    pub(super) fn again(&mut self, mut ready: impl FnMut() -> bool) {
        assert!(self.warden.is_none(), "it runs already");
        let output = self.output();
        let file = std::fs::File::options().create(true).append(true).open(&output);
        let file = file.expect("the file of its output");
        let mut command = Command::new("sh");
        command.args(["-c", WARDEN, "sh", self.plan.signal]).arg(&self.plan.folder);
        command.args(&self.plan.command).stdin(Stdio::piped());
        command.stdout(file.try_clone().expect("a second handle")).stderr(file);
        // Ctrl-C ends the tests; the end of its input tells it so.
        command.process_group(0);
        self.warden = Some(command.spawn().expect("sh starts"));
        let since = now();
        while !ready() {
            let warden = self.warden.as_mut().expect("it was started");
            let ended = warden.try_wait().expect("it can be asked").is_some();
            let late = since.elapsed() > READY;
            if ended || late {
                let said = std::fs::read_to_string(&output).unwrap_or_default();
                let last: Vec<&str> = said.lines().rev().take(30).collect();
                let last: Vec<&str> = last.into_iter().rev().collect();
                let what = if ended { "ended" } else { "is not ready in time" };
                panic!("{:?} {what}:\n{}", self.plan.command, last.join("\n"));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Ends it at once, keeping its folder.
    pub(super) fn kill(&mut self) {
        let mut warden = self.warden.take().expect("it runs");
        let mut input = warden.stdin.take().expect("its input");
        input.write_all(b"end\n").expect("it reads");
        warden.wait().expect("it ends");
    }

    fn output(&self) -> PathBuf {
        self.plan.folder.join("output.txt")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        match self.warden.take() {
            Some(mut warden) => {
                drop(warden.stdin.take());
                let _ = warden.wait();
            }
            None => {
                let _ = std::fs::remove_dir_all(&self.plan.folder);
            }
        }
    }
}

/// An empty folder that other users can get through, for servers that are not run as root.
pub(super) fn folder() -> PathBuf {
    let folder = tempfile::tempdir().expect("a folder").keep();
    run(Command::new("chmod").arg("711").arg(&folder));
    folder
}

/// Runs a command that must succeed, and gives what it printed.
pub(super) fn run(command: &mut Command) -> String {
    let done = command.stdin(Stdio::null()).output();
    let done = done.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{command:?}: {}: {said}", done.status);
    String::from_utf8(done.stdout).expect("it prints text")
}

/// A port that is free, and stays so: below those that the system gives to outgoing connections,
/// and another one at each call.
pub(crate) fn free_port() -> u16 {
    const FIRST: u16 = 20_000;
    const COUNT: u16 = 12_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Test processes that run at the same time begin at different places.
    let begin = std::process::id().wrapping_mul(40) % u32::from(COUNT);
    let begin = u16::try_from(begin).expect("it is less than COUNT");
    loop {
        let port = FIRST + (begin + NEXT.fetch_add(1, Ordering::Relaxed) % COUNT) % COUNT;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// A name that nothing else has, in this test process or another: letters, digits, `_`.
pub(super) fn unique(name: &str) -> String {
    static PROCESS: OnceLock<u64> = OnceLock::new();
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let process = PROCESS.get_or_init(|| RandomState::new().build_hasher().finish());
    format!("waypost_test_{process:016x}_{}_{name}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// The address of a server that is there already, which this variable gives.
pub(super) fn given(variable: &str) -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "how a person names a server for the tests")]
    let given = std::env::var(variable).ok().filter(|value| !value.is_empty());
    given
}

/// A path of the project.
pub(super) fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

#[expect(clippy::disallowed_methods, reason = "how long a server takes is real time")]
fn now() -> std::time::Instant {
    std::time::Instant::now()
}
