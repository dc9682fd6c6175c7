//! Kafka for the tests: one broker for all of them, or one of a test's own.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{Headers as _, Message as _};
use rdkafka::producer::{BaseProducer, Producer as _};
use rdkafka::{Offset, TopicPartitionList};

use super::server::{Plan, Server, folder, free_port, given, project, run, unique};

/// Names a broker that is there already: `HOST:PORT`.
const GIVEN: &str = "WAYPOST_TEST_KAFKA";

/// The heap of a broker. Without C2, which pays off only later than tests last.
const JAVA: [&str; 3] = ["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"];

/// What a record holds, and its headers.
pub(crate) type Told = (Vec<u8>, Vec<(String, String)>);

/// A Kafka broker: KRaft, one node, with transactions.
pub(crate) struct Kafka {
    bootstrap: String,
    server: Option<Server>,
}

/// The broker that the tests share: the one that `WAYPOST_TEST_KAFKA` names, else one that runs
/// as long as the test process. It is started at the first call.
///
/// # Panics
///
/// If Kafka is not there.
pub(crate) fn kafka() -> &'static Kafka {
    static SHARED: OnceLock<Kafka> = OnceLock::new();
    SHARED.get_or_init(|| match given(GIVEN) {
        Some(bootstrap) => Kafka { bootstrap, server: None },
        None => Kafka::own(&[]),
    })
}

impl Kafka {
    /// A broker of a test's own, which it may kill; `settings` overrule those of all brokers. In
    /// their values `{port}` and `{controller}` stand for the ports of its listeners.
    pub(crate) fn own(settings: &[(&str, &str)]) -> Self {
        Self::start(folder(), settings, &[], &[])
    }

    /// As [`Self::own`], in a folder that goes with it; `format` are further arguments of formatting
    /// its data, `options` those of Java.
    pub(super) fn start(
        folder: PathBuf,
        settings: &[(&str, &str)],
        format: &[&str],
        options: &[&str],
    ) -> Self {
        let jars = jars();
        let port = free_port();
        let properties = folder.join("server.properties");
        let text = properties_of(&folder, port, settings);
        std::fs::write(&properties, text).expect("a file");
        // A cluster's id is 16 bytes in base64; this is the only node that ever uses it.
        run(java(&jars)
            .args(["kafka.tools.StorageTool", "format", "--cluster-id", "AAAAAAAAAAAAAAAAAAAAAQ"])
            .args(format)
            .arg("--config")
            .arg(&properties));
        let mut command = java(&jars);
        command.args(options).arg("kafka.Kafka").arg(&properties);
        let command = std::iter::once(command.get_program()).chain(command.get_args());
        let command = command.map(ToOwned::to_owned).collect();
        let plan = Plan { folder, command, signal: "KILL" };
        let bootstrap = format!("127.0.0.1:{port}");
        let server = Server::start(plan, answers(&bootstrap));
        Self { bootstrap, server: Some(server) }
    }

    /// `HOST:PORT`, as `bootstrap.servers` wants it.
    pub(crate) fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// The configuration of a client of this broker, to be completed.
    pub(crate) fn client(&self) -> ClientConfig {
        client(&self.bootstrap)
    }

    /// Makes a topic and gives its name, which begins with no other's and ends with `name`.
    /// `settings` are those of a topic, as `message.timestamp.type`.
    pub(crate) async fn topic(
        &self,
        name: &str,
        partitions: i32,
        settings: &[(&str, &str)],
    ) -> String {
        let topic = unique(name);
        assert!(self.make(&topic, partitions, settings).await, "the broker makes {topic}");
        topic
    }

    /// Makes a topic of this name, and returns whether it was not there.
    pub(crate) async fn make(
        &self,
        topic: &str,
        partitions: i32,
        settings: &[(&str, &str)],
    ) -> bool {
        let mut new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
        for (key, value) in settings {
            new = new.set(key, value);
        }
        let admin: AdminClient<DefaultClientContext> = self.client().create().expect("a client");
        let options = AdminOptions::new().operation_timeout(Some(Duration::from_secs(30)));
        let made = admin.create_topics([&new], &options).await.expect("the broker answers");
        made == [Ok(topic.to_owned())]
    }

    /// Gives a topic that is there this one setting.
    pub(crate) async fn sets(&self, topic: &str, key: &str, value: &str) {
        let set = AlterConfig::new(ResourceSpecifier::Topic(topic)).set(key, value);
        let admin: AdminClient<DefaultClientContext> = self.client().create().expect("a client");
        let options = AdminOptions::new().operation_timeout(Some(Duration::from_secs(30)));
        let done = admin.alter_configs([&set], &options).await.expect("the broker answers");
        assert!(done.iter().all(Result::is_ok), "{done:?}");
    }

    /// The first records of a topic of one partition, each with its headers: waits until there are
    /// so many.
    pub(crate) fn records(&self, topic: &str, count: usize) -> Vec<Told> {
        let mut config = self.client();
        config.set("group.id", "tests").set("isolation.level", "read_committed");
        let consumer: BaseConsumer = config.create().expect("a consumer");
        let mut assignment = TopicPartitionList::new();
        assignment.add_partition_offset(topic, 0, Offset::Beginning).expect("a partition");
        consumer.assign(&assignment).expect("an assignment");
        let mut records = Vec::new();
        while records.len() < count {
            let polled = consumer.poll(Duration::from_secs(60)).expect("a record within a minute");
            let message = polled.expect("a record");
            let headers = message.headers().into_iter().flat_map(|headers| headers.iter());
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("a text");
            let headers = headers
                .map(|header| (header.key.to_owned(), text(header.value.unwrap_or_default())));
            records.push((message.payload().unwrap_or_default().to_vec(), headers.collect()));
        }
        records
    }

    /// Deletes topics with all that they hold.
    pub(crate) async fn delete(&self, topics: &[&str]) {
        let admin: AdminClient<DefaultClientContext> = self.client().create().expect("a client");
        let done = admin.delete_topics(topics, &AdminOptions::new()).await.expect("an answer");
        for one in done {
            one.expect("a topic is deleted");
        }
    }

    /// Deletes the records of each partition that come before an offset, as a retention does.
    pub(crate) async fn delete_before(&self, topic: &str, offsets: &[i64]) {
        let admin: AdminClient<DefaultClientContext> = self.client().create().expect("a client");
        let mut before = TopicPartitionList::new();
        for (partition, offset) in (0..).zip(offsets) {
            let offset = Offset::Offset(*offset);
            before.add_partition_offset(topic, partition, offset).expect("a partition");
        }
        let options = AdminOptions::new().operation_timeout(Some(Duration::from_secs(30)));
        let deleted = admin.delete_records(&before, &options).await.expect("the broker answers");
        for element in deleted.elements() {
            element.error().expect("records are deleted");
        }
    }

    /// As `kill -9` does. Only for a broker of the test's own.
    pub(crate) fn kill(&mut self) {
        self.server.as_mut().expect("it is this test's own").kill();
    }

    /// Starts it again after [`Kafka::kill`], with the same port and data.
    pub(crate) fn restart(&mut self) {
        let ready = answers(&self.bootstrap);
        self.server.as_mut().expect("it is this test's own").again(ready);
    }
}

/// What a broker is set to: one node that does everything, and no waiting for others.
fn properties_of(folder: &Path, port: u16, settings: &[(&str, &str)]) -> String {
    let controller = free_port();
    let data = folder.join("data");
    let data = data.display();
    let mut text = format!(
        "process.roles=broker,controller\n\
         node.id=1\n\
         controller.quorum.voters=1@127.0.0.1:{controller}\n\
         controller.listener.names=CONTROLLER\n\
         listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n\
         log.dirs={data}\n\
         auto.create.topics.enable=false\n\
         group.initial.rebalance.delay.ms=0\n\
         offsets.topic.num.partitions=4\n\
         offsets.topic.replication.factor=1\n\
         transaction.state.log.num.partitions=4\n\
         transaction.state.log.replication.factor=1\n\
         transaction.state.log.min.isr=1\n\
         share.coordinator.state.topic.replication.factor=1\n\
         share.coordinator.state.topic.min.isr=1\n\
         # How long a broker that comes back after a kill waits for itself.\n\
         broker.session.timeout.ms=3000\n\
         broker.heartbeat.interval.ms=500\n"
    );
    // Of two lines for a setting, the later one counts.
    text.extend(settings.iter().map(|(key, value)| format!("{key}={value}\n")));
    text.replace("{port}", &port.to_string()).replace("{controller}", &controller.to_string())
}

/// Whether a broker says that it is there.
fn answers(bootstrap: &str) -> impl FnMut() -> bool + use<> {
    let mut config = client(bootstrap);
    config.set("reconnect.backoff.ms", "50").set("reconnect.backoff.max.ms", "200");
    let client: BaseProducer = config.create().expect("a client");
    move || {
        let asked = client.client().fetch_metadata(None, Duration::from_millis(500));
        asked.is_ok_and(|told| !told.brokers().is_empty())
    }
}

fn client(bootstrap: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap);
    config
}

fn java(jars: &Path) -> Command {
    let mut command = Command::new("java");
    command.args(JAVA);
    command.arg(format!(
        "-Dlog4j2.configurationFile={}",
        project("tests/kafka/log4j2.properties").display()
    ));
    command.arg("-cp").arg(jars.join("*"));
    command
}

/// The folder of Kafka's jars.
fn jars() -> PathBuf {
    let found = Command::new("sh").arg(project("tests/kafka/fetch")).arg("--folder").output();
    let found = found.expect("sh starts");
    let folder = PathBuf::from(String::from_utf8_lossy(&found.stdout).trim_end());
    let way_out = format!("run `tests/run --install`, or set {GIVEN} to a broker's HOST:PORT");
    let said = String::from_utf8_lossy(&found.stderr);
    assert!(found.status.success(), "Kafka is not there: {said}{way_out}");
    let java = Command::new("java").arg("-version").output();
    assert!(java.is_ok_and(|java| java.status.success()), "Java is not there: {way_out}");
    folder
}
