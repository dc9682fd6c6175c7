use super::*;
use crate::decode::{Decoded, Rejected};
use crate::model::{ItemsAre, Tie};

const HEAD: &str = "format: 1\nsource: s\nreads: json\ntime: t\n";

fn mapping(rest: &str) -> Mapping {
    Mapping::parse("m.yaml", &format!("{HEAD}{rest}")).expect(rest)
}

fn raw<'a>(bytes: &'a str) -> Raw<'a> {
    Raw { bytes: bytes.as_bytes(), append_time: None, tie: Tie::default(), position: "f:1" }
}

fn one(mapping: &Mapping, record: &str) -> Event {
    match mapping.decode_record(&raw(record)).expect(record) {
        Decoded::Events(mut events) => events.pop().expect("an event"),
        Decoded::Skip => panic!("skipped: {record}"),
    }
}

#[test]
fn mistakes_are_named_with_their_place() {
    for (rest, expected) in [
        (
            "event: { path: e, is: { a: cart.item_add } }",
            "m.yaml:5:28: `cart.item_add` is no event name; did you mean cart.item_added?",
        ),
        ("event: { path: e, is: { a: cart.changed } }", "m.yaml:5:28: cart.changed is derived"),
        ("event: { value: order.placed }\nitem: []", "m.yaml:6:1: unknown field `item`"),
        (
            "event: { value: order.placed }\ncsv: { delimiter: ';' }",
            "m.yaml:6:6: csv goes with `reads: csv`",
        ),
        ("event: { value: order.placed }\nid: a..b", "m.yaml:6:5: `a..b` is no path"),
        ("event: { value: order.placed }\nid: a[x]", "m.yaml:6:5: `a[x]`: an element of an array"),
        ("event: { value: order.placed }\nid: a\nshop: a.b", "one path leads through another"),
        ("event: { value: order.placed }\nitems: [ { quantity: q } ]", "missing field `sku`"),
        (
            "event: { value: order.placed }\nconsents: [ { channel: fax, status: s } ]",
            "m.yaml:6:24: `fax` is none of email, sms",
        ),
        (
            "event: { value: order.placed }\ncustomer: { emial: m }",
            "m.yaml:6:20: `emial` is taken for a name of your own; did you mean `email`?",
        ),
        (
            "event: { value: order.placed }\ncustomer: { customerid: c }",
            "did you mean `customer_id`?",
        ),
        ("event: { value: order.placed }\ncustomer: { Phone: p }", "did you mean `phone`?"),
        ("event: { path: e, otherwise: keep }", "m.yaml:5:30: unknown variant `keep`"),
        ("event: {}", "event needs a column"),
    ] {
        let error = Mapping::parse("m.yaml", &format!("{HEAD}{rest}")).expect_err(rest).to_string();
        assert!(error.contains(expected), "{rest}\n  gave {error}\n  not  {expected}");
    }
    let error = Mapping::parse(
        "m.yaml",
        "format: 2\nsource: s\nreads: csv\nevent: { value: order.placed }",
    );
    assert!(error.is_err_and(|error| error.to_string().starts_with("m.yaml:1:9: format 2")));
}

#[test]
fn paths_reach_into_objects_and_arrays() {
    let mapping = mapping(
        "event: { value: order.placed }\ncustomer: { email: \"who.mails[1]\", loyalty: who.card }\norder: { id: \"o.numbers[0].n\" }\nitems: [ { each: o.lines, sku: s.id, quantity: 'n', line_total: sum } ]",
    );
    let event = one(
        &mapping,
        r#"{"t":"2026-01-01T00:00:00Z","x":[{"deep":[]}],"who":{"mails":["a@b.c","D@E.F"],"card":7},
            "o":{"numbers":[{"n":"A1"}],"lines":[{"s":{"id":"A"},"n":"2","sum":5},{"s":null},{"s":{"id":"B"}}]}}"#,
    );
    let names: Vec<_> = event.identities.iter().map(|identity| identity.value.as_str()).collect();
    assert_eq!(names, ["d@e.f", "7"]);
    assert_eq!(event.order.and_then(|order| order.id).as_deref(), Some("A1"));
    assert_eq!(event.items_are, ItemsAre::Whole);
    let lines: Vec<_> =
        event.items.iter().map(|item| (item.sku.as_str(), item.quantity, item.price)).collect();
    assert_eq!(lines, [("A", 2, "2.5".parse().ok()), ("B", 1, None)]);
    let nothing = one(&mapping, r#"{"t":"2026-01-01T00:00:00Z","o":5,"who":[]}"#);
    assert_eq!((nothing.items.len(), nothing.items_are), (0, ItemsAre::Mentioned));
}

#[test]
fn an_order_counts_without_what_cannot_be_read_of_it() {
    let fields = "time: t\nid: id\nchannel: c\ncustomer: { email: m }\norder: { id: o, total: sum }\nitems: [ { each: lines, sku: s, quantity: 'n', line_total: sum } ]\nconsents: [ { channel: email, status: ok } ]";
    let read = |event: &str, lines: &str| {
        let text =
            format!("format: 1\nsource: s\nreads: json\nevent: {{ value: {event} }}\n{fields}");
        let mapping = Mapping::parse("m.yaml", &text).expect(&text);
        let record = format!(
            r#"{{"t":"2026-01-01T00:00:00Z","id":"{}","c":"fax","m":"a@b.c","o":"1","sum":"1,234.50","ok":"perhaps","lines":[{lines}]}}"#,
            "x".repeat(300)
        );
        mapping.decode_record(&raw(&record))
    };
    let some = r#"{"s":"A","n":"two","sum":9},{"s":"B","n":2,"sum":"12.-"}"#;
    for (lines, skus) in [(some, &["A", "B"][..]), (&[some; 600].join(","), &[])] {
        let Ok(Decoded::Events(events)) = read("order.placed", lines) else {
            panic!("an order is lost");
        };
        let event = &events[0];
        assert_eq!((&*event.id, event.identities.len(), event.consents.len()), ("f:1", 1, 0));
        let order = event.order.as_deref().expect("an order");
        assert_eq!((order.id.as_deref(), order.total), (Some("1"), None));
        let found: Vec<_> = event.items.iter().map(|item| (&*item.sku, item.price)).collect();
        assert_eq!(found, skus.iter().map(|sku| (*sku, None)).collect::<Vec<_>>());
        assert!(read("cart.viewed", lines).is_err());
    }
}

#[test]
fn words_choose_event_items_and_what_is_ignored() {
    let mapping = mapping(
        "event:\n  path: e\n  is:\n    add: { event: cart.item_added, items: whole }\n    out: { event: checkout.started, items: none }\n    beat: ignore\n    low: { custom: stock.low }\n  otherwise: custom\nitems: [ { sku: s } ]",
    );
    let event = |word: &str| format!(r#"{{"t":"2026-01-01T00:00:00Z","e":"{word}","s":"A"}}"#);
    assert_eq!(one(&mapping, &event("add")).items_are, ItemsAre::Whole);
    assert_eq!(one(&mapping, &event("out")).items.len(), 0);
    assert_eq!(mapping.decode_record(&raw(&event("beat"))), Ok(Decoded::Skip));
    for (word, name) in [("low", "stock.low"), ("other", "other")] {
        let custom = one(&mapping, &event(word));
        assert_eq!(custom.name.as_str(), name);
        assert_eq!(custom.data.as_deref(), Some(event(word).as_str()));
    }
    let nameless = mapping.decode_record(&raw(r#"{"t":"2026-01-01T00:00:00Z"}"#));
    assert!(nameless.is_err_and(|error| error.reason.starts_with("e: `` is not in the mapping")));
}

#[test]
fn times_of_each_form_are_read_or_refused() {
    for (form, value, expected) in [
        ("rfc3339", "\"2026-01-01T00:00:00+01:00\"", Some("2025-12-31T23:00:00Z")),
        ("epoch_ms", "1500", Some("1970-01-01T00:00:01.5Z")),
        ("epoch_ms", "\"1500\"", Some("1970-01-01T00:00:01.5Z")),
        ("epoch_s", "1.5", Some("1970-01-01T00:00:01.5Z")),
        ("epoch_s", "99999999999999", None),
        ("epoch_ms", "\"soon\"", None),
        ("rfc3339", "\"soon\"", None),
        ("rfc3339", "null", None),
    ] {
        let text = format!(
            "format: 1\nsource: s\nreads: json\ntime: {{ path: t, as: {form} }}\nevent: {{ value: page.viewed }}"
        );
        let mapping = Mapping::parse("m.yaml", &text).expect(&text);
        let decoded = mapping.decode_record(&raw(&format!("{{\"t\":{value}}}")));
        let time = decoded.ok().and_then(|decoded| match decoded {
            Decoded::Events(events) => Some(events[0].time.to_string()),
            Decoded::Skip => None,
        });
        assert_eq!(time.as_deref(), expected, "{form} {value}");
    }
}

#[test]
fn csv_needs_its_columns_and_whole_rows() {
    let text = "format: 1\nsource: s\nreads: csv\ncsv: { delimiter: ';' }\nevent: { column: e, is: { v: product.viewed }, otherwise: custom }\ntime: t\nitems: [ { sku: s, name: title } ]";
    let mapping = Mapping::parse("m.yaml", text).expect(text);
    assert_eq!(
        mapping.for_header(b"t;e;s\r\n").err().map(|error| error.reason).as_deref(),
        Some(
            "no column `title` among its 3; a file without header row needs `csv: { columns: [..] }`"
        )
    );
    assert!(mapping.decode_record(&raw("a;b")).is_err_and(|error| error.reason.contains("header")));
    let bound = mapping.for_header(b"\"t\";e;s;title;\r\n").expect("a header");
    let event = one(&bound, "2026-01-01T00:00:00Z;v;A;\"a \"\"big\"\"; red\nhat\";\r");
    assert_eq!(event.items[0].name().map(|name| name.as_str()), Some("a \"big\"; red\nhat"));
    let custom = one(&bound, "2026-01-01T00:00:00Z;x;A;;");
    assert_eq!(custom.data.as_deref(), Some(r#"{"e":"x","s":"A","t":"2026-01-01T00:00:00Z"}"#));
    let short = bound.decode_record(&raw("2026-01-01T00:00:00Z;v;A"));
    assert_eq!(
        short,
        Err(Rejected::new(
            "the row has 3 columns, the header 5; quote values with a delimiter in them"
        ))
    );
}

#[test]
fn values_split_as_the_csv_crate_does() {
    for row in [
        "a,b,c",
        ",,",
        "",
        "\"a\",b",
        "\"a,b\",c",
        "\"a\"\"b\",\"\"",
        "a\"b,c",
        "\"a\"b,c",
        "\"a\"b\"c,d",
        "\"open,b",
        "\"\"\"\",x",
        "\"a\"\"",
        "x,\"",
    ] {
        let mut ours = Vec::new();
        values(row, b',', |_, value| ours.push(unquoted(value).unwrap_or_default().into_owned()));
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .trim(csv::Trim::All)
            .from_reader(row.as_bytes());
        let theirs = reader.records().next().map_or(vec![String::new()], |record| {
            record.expect("UTF-8").iter().map(str::to_owned).collect()
        });
        assert_eq!(ours, theirs, "{row}");
    }
}
