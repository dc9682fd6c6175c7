-- The embedded log: the canonical records, the identity graph that made them, and how far each
-- input was read. One transaction moves them all, so a position read again gives the same records.

-- "WYLG": says whose file this is.
PRAGMA application_id = 1465470023;

-- One row: what is fixed at creation.
CREATE TABLE log (
    partitions   INTEGER NOT NULL CHECK (partitions BETWEEN 1 AND 1024),
    identity_key BLOB    NOT NULL CHECK (length(identity_key) = 32)   -- secret: keys the hashes of identities
);

-- Where each partition ends, and the greatest tick in it (milliseconds since 1970, UTC).
CREATE TABLE partitions (
    partition   INTEGER PRIMARY KEY,
    next_offset INTEGER NOT NULL,
    last_tick   INTEGER
);

-- A batch of records a row. A record's offset is base_offset plus its place in the batch.
CREATE TABLE batches (
    partition   INTEGER NOT NULL,
    base_offset INTEGER NOT NULL,
    records     INTEGER NOT NULL,
    appended_at INTEGER NOT NULL,   -- milliseconds since 1970, UTC
    bytes       INTEGER NOT NULL,   -- of the encoded batch before compression
    payload     BLOB    NOT NULL    -- the encoded batch as a zstd frame with checksum
);
CREATE UNIQUE INDEX batches_by_offset ON batches (partition, base_offset);

-- Releases already activated, so that an activation written twice counts once.
CREATE TABLE controls (
    release BLOB    NOT NULL,
    at      INTEGER NOT NULL,
    PRIMARY KEY (release, at)
) WITHOUT ROWID;

-- Identities, customers and carts by keyed hash; the row's bytes are the identity stage's own.
CREATE TABLE graph (
    key       BLOB    NOT NULL PRIMARY KEY,
    row       BLOB    NOT NULL,
    source    INTEGER NOT NULL,     -- the source position that caused this row
    partition INTEGER NOT NULL,
    position  INTEGER NOT NULL
) WITHOUT ROWID;

-- Numbers of the sources; they are part of the order of events, so they never change.
CREATE TABLE sources (
    number INTEGER PRIMARY KEY,
    name   TEXT NOT NULL UNIQUE
);

-- The first position of each raw input that was not read.
CREATE TABLE positions (
    source    INTEGER NOT NULL,
    partition INTEGER NOT NULL,
    next      INTEGER NOT NULL,
    PRIMARY KEY (source, partition)
) WITHOUT ROWID;

-- What could not become an event.
CREATE TABLE dead_letters (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    source     INTEGER NOT NULL,
    partition  INTEGER NOT NULL,
    position   INTEGER NOT NULL,
    reason     TEXT    NOT NULL,
    payload    BLOB,                -- the record or its beginning; NULL once erased
    whole      INTEGER NOT NULL,    -- payload is the whole record as it came
    at         INTEGER NOT NULL,    -- milliseconds since 1970, UTC
    retried_at INTEGER              -- when it was handed in again
);
CREATE INDEX dead_letters_by_time ON dead_letters (at);

-- Outbox records that arrived, so that one relayed twice counts once.
CREATE TABLE received (
    id BLOB NOT NULL PRIMARY KEY
) WITHOUT ROWID;

-- Releases by content hash: postcard list of (path, bytes) as a zstd frame.
CREATE TABLE releases (
    id         BLOB    NOT NULL PRIMARY KEY,
    files      BLOB    NOT NULL,
    bytes      INTEGER NOT NULL,
    created_at INTEGER NOT NULL
);
