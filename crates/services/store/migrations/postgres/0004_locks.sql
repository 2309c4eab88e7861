-- Orders to cut off and keep out. Never deleted: they are the record of who locked whom out, and why.
CREATE TABLE locks (
    -- A ULID: ids sort by the time they were made.
    id TEXT PRIMARY KEY,
    -- JSON of its owner: what it matches.
    matcher TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('lock', 'reauthenticate')),
    reason TEXT NOT NULL,
    created_by TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    -- When it ends by itself; NULL for never.
    expires_at BIGINT,
    -- When, by whom and why it was ended; NULL while it was not.
    ended_at BIGINT,
    ended_by TEXT,
    ended_why TEXT
);

CREATE INDEX locks_live ON locks (ended_at, expires_at);

-- Grows with every change of a lock, in the same transaction, so that gateways ask for one number and read no more.
CREATE TABLE lock_changes (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    number BIGINT NOT NULL
);

INSERT INTO lock_changes (id, number) VALUES (1, 1);
