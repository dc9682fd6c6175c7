-- The production database: what a checkpoint moves (states, messages, trace, outbox, positions),
-- the way out of messages, and what keeps the log in order beside Kafka.
--
-- Times are milliseconds since 1970, UTC; ids are 16 bytes. Words are compared byte by byte, so
-- their order does not depend on the database's language.

-- Where each lane stands. Every checkpoint compares the epoch first.
CREATE TABLE lanes (
    partition  int    PRIMARY KEY,
    epoch      bigint NOT NULL,
    low_offset bigint NOT NULL,     -- the first offset that may hold a record not applied
    end_offset bigint NOT NULL,     -- the first offset not read
    watermark  bigint,
    build      text   NOT NULL,     -- the engine build that decided last
    -- After a restore: nothing leaves before the watermark has passed this.
    restored_until bigint,
    unsure_until   bigint           -- what was ready by then may have gone before the restore
) WITH (fillfactor = 50, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_scale_factor = 0);

-- One row a customer. next_due is a lower bound of the next due time: a timer that moves later does
-- not change it, so most updates touch no index and stay within their page.
CREATE TABLE states (
    partition int    NOT NULL,
    customer  bytea  NOT NULL,
    next_due  bigint,
    state     bytea  NOT NULL,
    PRIMARY KEY (partition, customer)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 1);
-- The encoding is compact already: trying to compress it again only costs time.
ALTER TABLE states ALTER COLUMN state SET STORAGE EXTERNAL;
CREATE INDEX states_by_due ON states (partition, next_due) WHERE next_due IS NOT NULL;

-- One row a message; within a partition, seq is the order of deciding.
CREATE TABLE messages (
    seq        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    message    bytea  NOT NULL,
    partition  int    NOT NULL,
    customer   bytea  NOT NULL,
    name       text   COLLATE "C" NOT NULL,     -- the customer as output names it; empty once erased
    journey    text   COLLATE "C" NOT NULL,
    version    bigint NOT NULL,
    run        bytea  NOT NULL,
    step       text   COLLATE "C" NOT NULL,
    occurrence bigint NOT NULL,
    channel    text   COLLATE "C" NOT NULL,
    template   text   COLLATE "C" NOT NULL,
    topic      text   COLLATE "C",
    class      text   COLLATE "C" NOT NULL,
    at         bigint NOT NULL,
    settle_ms  bigint NOT NULL,
    expires    bigint,
    window_end bigint,
    status     text   COLLATE "C" NOT NULL,     -- decided, withheld, cancelled
    reason     text   COLLATE "C",              -- why withheld or cancelled
    revision   bigint NOT NULL,                 -- 1 as decided
    outcome    text   COLLATE "C",              -- the newest outcome
    data       text                             -- what the template sees; NULL once erased
) WITH (fillfactor = 85, autovacuum_vacuum_scale_factor = 0.05);
-- The same decision can't be kept twice.
CREATE UNIQUE INDEX messages_by_id ON messages (message);
CREATE INDEX messages_by_customer ON messages (customer);
CREATE INDEX messages_by_time ON messages (at);
CREATE INDEX messages_by_partition ON messages (partition, seq);
-- Reports count without reading the messages themselves.
CREATE INDEX messages_by_journey ON messages (journey, step, status, reason, outcome, at);

-- What happened in runs, for `why` and the funnel.
CREATE TABLE trace (
    seq      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    customer bytea  NOT NULL,
    at       bigint NOT NULL,
    kind     text   COLLATE "C" NOT NULL,
    journey  text   COLLATE "C",
    version  bigint,
    run      bytea,
    step     text   COLLATE "C",
    reason   text   COLLATE "C",
    detail   text                   -- NULL once erased
);
CREATE INDEX trace_by_customer ON trace (customer);
CREATE INDEX trace_by_time ON trace (at) WHERE kind <> 'merged';
CREATE INDEX trace_by_journey ON trace (journey, kind, reason) WHERE journey IS NOT NULL;

-- Records on their way to the log; a row goes when the log has it. Any worker relays any row.
CREATE TABLE outbox (
    seq    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id     bytea  NOT NULL UNIQUE,
    record bytea  NOT NULL
) WITH (autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0);

-- One row.
CREATE TABLE store (
    only_row   boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    secret_key bytea   NOT NULL CHECK (length(secret_key) = 32)     -- keys the hashes of addresses and the links that unsubscribe
);

-- The way out of every message that is to be sent. Nothing here decides; what becomes of a message
-- goes back to the log as an event.
CREATE TABLE deliveries (
    message     bytea  PRIMARY KEY,
    partition   int    NOT NULL,
    ready       bigint NOT NULL,            -- due and settle: may be claimed once the lane's watermark has passed it
    status      text   COLLATE "C" NOT NULL,    -- waiting, claimed, started, dot_sent; then how it ended
    lease       bigint,                     -- of the claim that holds it, or held it before it was in doubt; no two are alike
    lease_until bigint,                     -- when another may look after it, by the wall clock
    attempts    bigint NOT NULL DEFAULT 0,  -- those that started
    try_after   bigint NOT NULL DEFAULT 0,  -- not before, by the wall clock; 0 for a first try
    revision    bigint,                     -- the one that is or was sent
    address     text,                       -- where it is or was sent; NULL once erased
    sender      text,                       -- of a mail
    subject     text,                       -- of a mail; NULL once erased
    body        bytea,                      -- the bytes that the first attempt pinned, until it ends
    detail      text,                       -- the provider's words, or why not
    changed     bigint NOT NULL             -- when this row last changed, by the wall clock
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);
-- First tries (0) by when they are ready, further ones by when they may be.
CREATE INDEX deliveries_waiting ON deliveries (try_after, ready, message) WHERE status = 'waiting';
CREATE INDEX deliveries_under_way ON deliveries (lease_until)
    WHERE status IN ('claimed', 'started', 'dot_sent');
CREATE INDEX deliveries_in_doubt ON deliveries (message) WHERE status = 'in_doubt';

-- Addresses that must not be written to, by keyed hash; they outlive the person's erasure.
CREATE TABLE suppressions (
    channel text   COLLATE "C" NOT NULL,
    address bytea  NOT NULL,
    topic   text   COLLATE "C" NOT NULL,    -- empty for everything
    reason  text   COLLATE "C" NOT NULL,    -- unsubscribed, bounced, complained; resubscribed: a yes to the topic
    at      bigint NOT NULL,
    PRIMARY KEY (channel, address, topic, reason)
);

-- What is not to be sent for now.
CREATE TABLE holds (
    kind text   COLLATE "C" NOT NULL,       -- all, channel, journey, template
    name text   COLLATE "C" NOT NULL,       -- empty for all
    at   bigint NOT NULL,
    PRIMARY KEY (kind, name)
);

-- One row: what was removed because it was kept long enough, and who does that.
CREATE TABLE kept (
    only_row      boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    messages_from bigint,           -- messages that were due before may have been removed
    worker        text,             -- whose turn it is
    worked_at     bigint            -- when it last took it
) WITH (fillfactor = 50, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_scale_factor = 0);
INSERT INTO kept DEFAULT VALUES;

-- The log's registry. The records themselves are in Kafka.

-- One row: what is fixed at creation.
CREATE TABLE log (
    only_row     boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    partitions   int     NOT NULL CHECK (partitions BETWEEN 1 AND 1024),
    identity_key bytea   NOT NULL CHECK (length(identity_key) = 32)     -- secret: keys the hashes of identities
);

-- Numbers of the sources; they are part of the order of events, so they never change.
CREATE TABLE sources (
    number int  PRIMARY KEY,
    name   text COLLATE "C" NOT NULL UNIQUE
);

-- Identities, customers and carts by keyed hash; the row's bytes are the identity stage's own.
CREATE TABLE graph (
    key       bytea  PRIMARY KEY,
    row       bytea  NOT NULL,
    source    int    NOT NULL,      -- the source position that caused this row
    partition int    NOT NULL,
    position  bigint NOT NULL
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05);

-- How far each raw input was identified, and who may go on with it. Kafka has the position that is
-- in the log; what is between may be read again, and must then become the same.
CREATE TABLE inputs (
    source     int    NOT NULL,
    partition  int    NOT NULL,
    epoch      bigint NOT NULL,     -- raised by each taking of the input
    since      bigint NOT NULL,     -- where the last batch began: everything before is in the log
    next       bigint NOT NULL,     -- the first position after it
    identified bytea,               -- what its positions became that changed the graph: postcard as a zstd frame
    PRIMARY KEY (source, partition)
) WITH (fillfactor = 50, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_scale_factor = 0);

-- Outbox records that arrived, each with where it arrived first, so that one relayed twice counts once.
CREATE TABLE received (
    id        bytea  PRIMARY KEY,
    partition int    NOT NULL,
    position  bigint NOT NULL,
    at        bigint NOT NULL
);
CREATE INDEX received_by_time ON received (at);

-- Activations of releases, so that each is written to the log once.
CREATE TABLE activations (
    release bytea   NOT NULL,
    at      bigint  NOT NULL,
    written boolean NOT NULL DEFAULT false,     -- every partition of the log has it
    PRIMARY KEY (release, at)
);

-- Releases by content hash: postcard list of (path, bytes) as a zstd frame.
CREATE TABLE releases (
    id         bytea  PRIMARY KEY,
    files      bytea  NOT NULL,
    bytes      bigint NOT NULL,
    created_at bigint NOT NULL
);

-- What could not become an event.
CREATE TABLE dead_letters (
    id         bigint  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source     int     NOT NULL,
    partition  int     NOT NULL,    -- -1 if it came by HTTP, and so is in no topic
    position   bigint  NOT NULL,    -- its offset; by HTTP its line in the request
    reason     text    NOT NULL,
    payload    bytea,               -- the record or its beginning; NULL once erased
    whole      boolean NOT NULL,    -- payload is the whole record as it came
    at         bigint  NOT NULL,
    retried_at bigint               -- when it was handed in again
);
-- An offset that is read twice is one letter. What comes by HTTP comes once each time.
CREATE UNIQUE INDEX dead_letters_by_place ON dead_letters (source, partition, position)
    WHERE partition >= 0;
CREATE INDEX dead_letters_by_time ON dead_letters (at);

-- One row: how far time is known, and when that was last looked at.
CREATE TABLE ticker (
    only_row  boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    watermark bigint,
    ticked_at bigint
) WITH (fillfactor = 50, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_scale_factor = 0);
INSERT INTO ticker DEFAULT VALUES;

-- One row: the level at which is written now. A build that does not speak it must not run.
CREATE TABLE upgrade (
    only_row  boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    level     int     NOT NULL,
    build     text    NOT NULL,     -- the build that raised it
    raised_at bigint  NOT NULL
);

-- Workers that live, or did within the last hour; times are the database's own.
CREATE TABLE workers (
    instance   text   COLLATE "C" PRIMARY KEY,      -- new at each start
    build      text   NOT NULL,
    level      int    NOT NULL,     -- the highest it speaks
    started_at bigint NOT NULL,
    seen_at    bigint NOT NULL      -- when it last said that it lives
) WITH (fillfactor = 50, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_scale_factor = 0);
