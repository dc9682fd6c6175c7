-- The embedded state store: states, messages, trace, outbox and the position of each lane.
-- One transaction a checkpoint moves them all.

-- "WYST": says whose file this is.
PRAGMA application_id = 1465471828;

-- Where each lane stands. Every checkpoint compares the epoch first.
CREATE TABLE lanes (
    partition  INTEGER PRIMARY KEY,
    epoch      INTEGER NOT NULL,
    low_offset INTEGER NOT NULL,    -- the first offset that may hold a record not applied
    end_offset INTEGER NOT NULL,    -- the first offset not read
    watermark  INTEGER,             -- milliseconds since 1970, UTC
    build      TEXT    NOT NULL     -- the engine build that decided last
);

-- One row a customer. next_due is a lower bound of the next due time.
CREATE TABLE states (
    partition INTEGER NOT NULL,
    customer  BLOB    NOT NULL,
    next_due  INTEGER,
    state     BLOB    NOT NULL,
    PRIMARY KEY (partition, customer)
) WITHOUT ROWID;
CREATE INDEX states_by_due ON states (partition, next_due) WHERE next_due IS NOT NULL;

-- One row a message; seq is the order of deciding.
CREATE TABLE messages (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    message    BLOB    NOT NULL,
    partition  INTEGER NOT NULL,
    customer   BLOB    NOT NULL,
    name       TEXT    NOT NULL,    -- the customer as output names it; empty once erased
    journey    TEXT    NOT NULL,
    version    INTEGER NOT NULL,
    run        BLOB    NOT NULL,
    step       TEXT    NOT NULL,
    occurrence INTEGER NOT NULL,
    channel    TEXT    NOT NULL,
    template   TEXT    NOT NULL,
    topic      TEXT,
    class      TEXT    NOT NULL,
    at         INTEGER NOT NULL,
    settle_ms  INTEGER NOT NULL,
    expires    INTEGER,
    window_end INTEGER,
    status     TEXT    NOT NULL,    -- decided, withheld, cancelled
    reason     TEXT,                -- why withheld or cancelled
    revision   INTEGER NOT NULL,    -- 1 as decided
    outcome    TEXT,                -- the newest outcome
    data       TEXT                 -- what the template sees; NULL once erased
);
-- The same decision can't be kept twice.
CREATE UNIQUE INDEX messages_by_id ON messages (message);
CREATE INDEX messages_by_customer ON messages (customer);
CREATE INDEX messages_by_time ON messages (at);
-- Reports count without reading the messages themselves.
CREATE INDEX messages_by_journey ON messages (journey, step, status, reason, outcome, at);

-- What happened in runs, for `why` and the funnel.
CREATE TABLE trace (
    seq      INTEGER PRIMARY KEY,
    customer BLOB    NOT NULL,
    at       INTEGER NOT NULL,
    kind     TEXT    NOT NULL,
    journey  TEXT,
    version  INTEGER,
    run      BLOB,
    step     TEXT,
    reason   TEXT,
    detail   TEXT                   -- NULL once erased
);
CREATE INDEX trace_by_customer ON trace (customer);
CREATE INDEX trace_by_time ON trace (at) WHERE kind <> 'merged';
CREATE INDEX trace_by_journey ON trace (journey, kind, reason) WHERE journey IS NOT NULL;

-- Records on their way to the log; a row goes when the log has it.
CREATE TABLE outbox (
    seq    INTEGER PRIMARY KEY,
    id     BLOB NOT NULL UNIQUE,
    record BLOB NOT NULL
);

-- One row.
CREATE TABLE store (
    secret_key BLOB    NOT NULL CHECK (length(secret_key) = 32),   -- keys the hashes of addresses and the links that unsubscribe
    last_lease INTEGER NOT NULL,                                   -- grows with each claim, so that no two are alike
    messages_from INTEGER                                          -- messages that were due before may have been removed
);
INSERT INTO store (secret_key, last_lease) VALUES (randomblob(32), 0);

-- The way out of every message that is to be sent. Nothing here decides; what becomes of a message
-- goes back to the log as an event.
CREATE TABLE deliveries (
    message   BLOB    PRIMARY KEY,
    partition INTEGER NOT NULL,
    ready     INTEGER NOT NULL,             -- due and settle: may be claimed once the lane's watermark has passed it
    status    TEXT    NOT NULL,             -- waiting, claimed, started, dot_sent; then how it ended
    lease     INTEGER,                      -- of the claim that holds it
    attempts  INTEGER NOT NULL DEFAULT 0,   -- those that started
    try_after INTEGER NOT NULL DEFAULT 0,   -- not before, by the wall clock
    revision  INTEGER,                      -- the one that is or was sent
    address   TEXT,                         -- where it is or was sent; NULL once erased
    sender    TEXT,                         -- of a mail
    subject   TEXT,                         -- of a mail; NULL once erased
    body      BLOB,                         -- the bytes that the first attempt pinned, until it ends
    detail    TEXT,                         -- the provider's words, or why not
    changed   INTEGER NOT NULL              -- when this row last changed, by the wall clock
) WITHOUT ROWID;
CREATE INDEX deliveries_waiting ON deliveries (partition, ready) WHERE status = 'waiting';
CREATE INDEX deliveries_under_way ON deliveries (status)
    WHERE status IN ('claimed', 'started', 'dot_sent', 'in_doubt');

-- Addresses that must not be written to, by keyed hash; they outlive the person's erasure.
CREATE TABLE suppressions (
    channel TEXT    NOT NULL,
    address BLOB    NOT NULL,
    topic   TEXT    NOT NULL,               -- empty for everything
    reason  TEXT    NOT NULL,               -- unsubscribed, bounced, complained; resubscribed: a yes to the topic
    at      INTEGER NOT NULL,
    PRIMARY KEY (channel, address, topic, reason)
) WITHOUT ROWID;

-- What is not to be sent for now.
CREATE TABLE holds (
    kind TEXT    NOT NULL,                  -- all, channel, journey, template
    name TEXT    NOT NULL,                  -- empty for all
    at   INTEGER NOT NULL,
    PRIMARY KEY (kind, name)
) WITHOUT ROWID;
