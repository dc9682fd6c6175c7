//! The embedded log: order, atomicity, reading beside writing, and files that can't be used.

#![expect(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

use waypost::log::{
    Append, CartMoved, Control, CustomerEvent, DeadLetter, DeadLetterFilter, DeadLetters, Error,
    GraphRow, InputPosition, KeptLetter, Log, LogReader, ReadLog, Record,
};
use waypost::model::{CustomerId, Event, EventName, ReleaseId, Text, Tie, Timestamp};
use waypost::sqlite::{Error as FileError, Limits};

fn at(ms: i64) -> Timestamp {
    Timestamp::from_ms(ms)
}

fn event(customer: u128, id: &str) -> Record {
    let event = Event::new(id, EventName::CartItemAdded, at(5));
    Record::Event(Box::new(CustomerEvent { customer: CustomerId(customer), event }))
}

fn records(records: impl IntoIterator<Item = Record>) -> Append {
    Append { records: records.into_iter().collect(), ..Append::default() }
}

async fn all(reader: &LogReader, partition: u32) -> Vec<(u64, Record)> {
    reader.read(partition, 0, usize::MAX).await.unwrap()
}

struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> std::path::PathBuf {
        self.folder.path().join("log.db")
    }

    fn wal(&self) -> std::path::PathBuf {
        self.folder.path().join("log.db-wal")
    }

    async fn open(&self, partitions: u32) -> Log {
        Log::open(&self.path(), partitions).await.unwrap()
    }
}

#[tokio::test]
async fn records_go_to_their_customers_partition_in_order() {
    let place = Place::new();
    let mut log = place.open(4).await;
    let reader = log.reader();
    let appended = log
        .append(records([
            event(1, "a"),
            event(5, "b"),
            event(2, "c"),
            Record::Tick(at(7)),
            event(1, "d"),
        ]))
        .await
        .unwrap();
    assert_eq!(appended.first, [0, 0, 0, 0]);
    assert_eq!(appended.ends, [1, 4, 2, 1]);
    let one = all(&reader, 1).await;
    let expected =
        [(0, event(1, "a")), (1, event(5, "b")), (2, Record::Tick(at(7))), (3, event(1, "d"))];
    assert_eq!(one, expected);
    assert_eq!(all(&reader, 0).await, [(0, Record::Tick(at(7)))]);

    // Ticks never go back, and a control counts once.
    let control = Record::Control(Box::new(Control { release: ReleaseId(3), at: at(9) }));
    let next = [
        Record::Tick(at(7)),
        control.clone(),
        Record::Tick(at(8)),
        control.clone(),
        Record::Tick(at(6)),
    ];
    log.append(records(next)).await.unwrap();
    log.append(records([control.clone()])).await.unwrap();
    assert_eq!(all(&reader, 0).await[1..], [(1, control), (2, Record::Tick(at(8)))]);
    assert_eq!(log.last_tick(3), Some(at(8)));
    assert_eq!(reader.controls().await.unwrap().len(), 1);
}

#[tokio::test]
async fn reading_starts_anywhere_and_stops_after_a_batch() {
    let place = Place::new();
    let mut log = place.open(1).await;
    let names: Vec<String> = (0..10_000).map(|id| id.to_string()).collect();
    for batch in names.chunks(5_000) {
        log.append(records(batch.iter().map(|id| event(1, id)))).await.unwrap();
    }
    let reader = log.reader();
    for (from, min, first, count) in [
        (0, 1, 0, 4_096),
        (4_095, 1, 4_095, 1),
        (4_096, 1, 4_096, 904),
        (0, 10_000, 0, 10_000),
        (9_999, 50, 9_999, 1),
    ] {
        let read = reader.read(0, from, min).await.unwrap();
        assert_eq!((read[0].0, read.len()), (first, count), "from {from}");
        let in_order = read.iter().all(|(offset, record)| *record == event(1, &offset.to_string()));
        assert!(in_order, "from {from}");
    }
    assert_eq!(reader.read(0, 10_000, 1).await.unwrap(), []);
    assert_eq!(reader.read(7, 0, 1).await.unwrap(), []);
}

#[tokio::test]
async fn a_batch_of_many_bytes_is_split() {
    let place = Place::new();
    let mut log = place.open(1).await;
    let large = |id: &str| {
        let Record::Event(mut event) = event(1, id) else { unreachable!() };
        event.event.data = Some(id.repeat(9 << 20).into());
        Record::Event(event)
    };
    log.append(records(["a", "b", "c"].map(large))).await.unwrap();
    let reader = log.reader();
    assert_eq!(reader.read(0, 1, 1).await.unwrap(), [(1, large("b"))]);
    assert_eq!(reader.read(0, 0, 3).await.unwrap().len(), 3);
    assert_eq!(log.end(0), 3);
}

#[tokio::test]
async fn all_of_an_append_is_there_after_reopening() {
    let place = Place::new();
    let mut log = place.open(2).await;
    let key = log.identity_key();
    assert_eq!((log.source("web").await.unwrap(), log.source("erp").await.unwrap()), (1, 2));
    let tie = Tie { source: 1, partition: 0, offset: 41 };
    let letter = DeadLetter {
        source: 1,
        partition: 0,
        position: 40,
        reason: "not JSON".into(),
        payload: Some(b"{\"Email\":\"Ann@Shop.example\"".to_vec()),
        whole: true,
        at: at(3),
    };
    let append = Append {
        at: at(3),
        records: vec![event(1, "a")],
        relayed: vec![(77, event(2, "r")), (78, event(2, "s")), (77, event(2, "r"))],
        graph: (0..700).map(|key| GraphRow { key, row: vec![1, 2], tie }).collect(),
        dead_letters: vec![letter.clone()],
        positions: vec![InputPosition { source: 1, partition: 0, next: 42 }],
        erase: Vec::new(),
    };
    let appended = log.append(append).await.unwrap();
    assert_eq!((appended.ends, appended.known), (vec![2, 1], 1));
    let again =
        Append { relayed: vec![(78, event(2, "s")), (79, event(2, "t"))], ..Append::default() };
    assert_eq!(log.append(again).await.unwrap().known, 1);
    let files = vec![("journeys/cart.yaml".to_owned(), b"format: 1".to_vec())];
    log.put_release(ReleaseId(5), &files, at(1)).await.unwrap();
    log.put_release(ReleaseId(5), &files, at(2)).await.unwrap();
    drop(log);

    let mut log = place.open(2).await;
    let reader = LogReader::open(&place.path()).await.unwrap();
    assert_eq!(log.identity_key(), key);
    assert_eq!(reader.identity_key().await.unwrap(), key);
    assert_eq!((log.source("erp").await.unwrap(), log.source("crm").await.unwrap()), (2, 3));
    assert_eq!((reader.end(0).await.unwrap(), reader.end(1).await.unwrap(), log.end(0)), (3, 1, 3));
    let relayed: Vec<Record> =
        all(&reader, 0).await.into_iter().map(|(_, record)| record).collect();
    assert_eq!(relayed, [event(2, "r"), event(2, "s"), event(2, "t")]);
    assert_eq!(
        reader.positions().await.unwrap(),
        [InputPosition { source: 1, partition: 0, next: 42 }]
    );
    let keys: Vec<u128> = (600..900).collect();
    assert_eq!(reader.graph(&keys).await.unwrap().len(), 100);
    assert_eq!(reader.release(ReleaseId(5)).await.unwrap(), Some(files));
    assert_eq!(reader.release(ReleaseId(6)).await.unwrap(), None);
    let all = DeadLetterFilter { limit: 10, ..DeadLetterFilter::default() };
    let kept = KeptLetter { id: 1, letter, retried: None };
    assert_eq!(reader.dead_letters(&all).await.unwrap(), [kept]);
    for (name, kept) in
        [("nn@shop.example", true), ("ann@shop.exam", true), ("ANN@shop.example", false)]
    {
        let erase = vec![name.to_owned()];
        log.append(Append { erase, ..Append::default() }).await.unwrap();
        let letter = &reader.dead_letters(&all).await.unwrap()[0].letter;
        assert_eq!((letter.payload.is_some(), letter.whole), (kept, kept), "{name}");
    }
}

#[tokio::test]
async fn a_reader_sees_an_append_at_once() {
    let place = Place::new();
    let mut log = place.open(1).await;
    let reader = log.reader();
    let waiting = tokio::spawn({
        let reader = reader.clone();
        async move { (reader.grown(0, 0).await, reader.read(0, 0, 1).await.unwrap().len()) }
    });
    log.append(records([event(1, "a")])).await.unwrap();
    assert_eq!(waiting.await.unwrap(), (true, 1));
    drop(log);
    assert!(!reader.grown(0, 1).await, "the writer is gone");
}

#[tokio::test]
async fn a_full_disk_keeps_nothing_and_says_so() {
    let place = Place::new();
    drop(place.open(1).await);
    let limits = Limits { bytes_max: Some(200 * 1024) };
    let mut log = Log::open_limited(&place.path(), 1, limits).await.unwrap();
    log.append(records([event(1, "a")])).await.unwrap();
    let rows = (0..20_000).map(|key| GraphRow { key, row: vec![7; 50], tie: Tie::default() });
    let big = Append { graph: rows.collect(), ..records([event(1, "b")]) };
    let error = log.append(big.clone()).await.unwrap_err();
    assert!(matches!(error, Error::File(FileError::Full { .. })), "{error}");
    assert_eq!((log.end(0), all(&log.reader(), 0).await.len()), (1, 1));
    log.append(records([event(1, "b")])).await.unwrap();
    drop(log);
    let mut log = place.open(1).await;
    log.append(big).await.unwrap();
    assert_eq!(all(&log.reader(), 0).await.len(), 3);
}

#[tokio::test]
async fn unusable_files_are_refused_with_the_way_out() {
    use sqlx::Connection;
    let place = Place::new();
    let log = place.open(2).await;
    let error = Log::open(&place.path(), 2).await.unwrap_err().to_string();
    assert!(error.contains("in use by another waypost process"), "{error}");
    drop(log);
    let error = Log::open(&place.path(), 3).await.unwrap_err().to_string();
    assert!(error.contains("has 2 partitions, the configuration says 3"), "{error}");
    for count in [0, 1_025] {
        assert!(matches!(Log::open(&place.path(), count).await, Err(Error::PartitionCount(_))));
    }
    let state = place.folder.path().join("state.db");
    drop(waypost::store::SqliteStore::open(&state).await.unwrap());
    let error = Log::open(&state, 2).await.unwrap_err().to_string();
    assert!(error.contains("not a Waypost log"), "{error}");
    let foreign = place.folder.path().join("foreign.db");
    let options =
        sqlx::sqlite::SqliteConnectOptions::new().filename(&foreign).create_if_missing(true);
    let mut shell = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::raw_sql("CREATE TABLE theirs (x)").execute(&mut shell).await.unwrap();
    let error = Log::open(&foreign, 2).await.unwrap_err().to_string();
    assert!(error.contains("not a Waypost log"), "{error}");
    let nowhere = place.folder.path().join("no/such/folder/log.db");
    let error = Log::open(&nowhere, 2).await.unwrap_err().to_string();
    assert!(error.contains("check that its folder exists"), "{error}");
}

#[tokio::test]
async fn another_programs_lock_is_named() {
    use sqlx::Connection;
    let place = Place::new();
    let mut log = place.open(1).await;
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(place.path());
    let mut shell = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut shell).await.unwrap();
    let error = log.append(records([event(1, "a")])).await.unwrap_err();
    assert!(matches!(error, Error::File(FileError::Busy { .. })), "{error}");
    sqlx::raw_sql("ROLLBACK").execute(&mut shell).await.unwrap();
    log.append(records([event(1, "a")])).await.unwrap();
    assert_eq!(log.end(0), 1);
}

#[tokio::test]
async fn a_damaged_batch_is_named() {
    use sqlx::Connection;
    let place = Place::new();
    let mut log = place.open(1).await;
    log.append(records([event(1, "a")])).await.unwrap();
    log.append(records([event(1, &"b".repeat(60))])).await.unwrap();
    let reader = log.reader();
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(place.path());
    let mut shell = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::raw_sql(
        "UPDATE batches SET payload = CAST(substr(payload, 1, length(payload) - 1) || x'00' AS BLOB)
         WHERE base_offset = 1",
    )
    .execute(&mut shell)
    .await
    .unwrap();
    assert_eq!(reader.read(0, 0, 1).await.unwrap(), [(0, event(1, "a"))]);
    let error = reader.read(0, 0, 2).await.unwrap_err();
    assert!(error.to_string().contains("partition 0, batch at offset 1"), "{error}");
    assert!(matches!(error, Error::Records { .. }));
    let text = Text::new("unused");
    let moved =
        CartMoved { customer: CustomerId(1), cart_id: text, time: at(1), tie: Tie::default() };
    assert_eq!(Record::CartMoved(Box::new(moved)).customer(), Some(CustomerId(1)));
}

#[tokio::test]
async fn a_power_cut_leaves_whole_appends() {
    let place = Place::new();
    let mut log = place.open(1).await;
    let mut sizes = Vec::new();
    for number in 0..20_u64 {
        let tie = Tie { source: 1, partition: 0, offset: number };
        let append = Append {
            records: vec![event(1, "x"), event(1, &number.to_string())],
            graph: vec![GraphRow { key: number.into(), row: vec![1; 2_000], tie }],
            positions: vec![InputPosition { source: 1, partition: 0, next: number + 1 }],
            ..Append::default()
        };
        log.append(append).await.unwrap();
        sizes.push(std::fs::metadata(place.wal()).unwrap().len());
    }
    // What is on the disk when the power goes: the file, and the write-ahead log up to anywhere.
    let (file, wal) = (std::fs::read(place.path()).unwrap(), std::fs::read(place.wal()).unwrap());
    let last = *sizes.last().unwrap();
    for cut in (0..=last).step_by(2_999).chain([last - 1, last]) {
        let after = Place::new();
        std::fs::write(after.path(), &file).unwrap();
        std::fs::write(after.wal(), &wal[..usize::try_from(cut).unwrap()]).unwrap();
        let log =
            Log::open(&after.path(), 1).await.unwrap_or_else(|error| panic!("{cut}: {error}"));
        let whole = sizes.iter().filter(|size| **size <= cut).count() as u64;
        let reader = log.reader();
        let next = reader.positions().await.unwrap().first().map_or(0, |position| position.next);
        assert_eq!(next, whole, "cut at {cut}");
        assert_eq!((log.end(0), all(&reader, 0).await.len() as u64), (whole * 2, whole * 2));
        let keys: Vec<u128> = (0..20).collect();
        assert_eq!(reader.graph(&keys).await.unwrap().len() as u64, whole);
    }
}
