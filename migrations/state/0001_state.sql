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
    seq        INTEGER PRIMARY KEY,
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
CREATE INDEX trace_by_journey ON trace (journey, kind, reason) WHERE journey IS NOT NULL;

-- Records on their way to the log; a row goes when the log has it.
CREATE TABLE outbox (
    seq    INTEGER PRIMARY KEY,
    id     BLOB NOT NULL UNIQUE,
    record BLOB NOT NULL
);
