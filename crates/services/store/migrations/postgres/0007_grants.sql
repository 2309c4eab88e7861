-- Access that people give for a while.
CREATE TABLE grants (
    -- That of the review that it is asked for by.
    id TEXT PRIMARY KEY,
    status TEXT NOT NULL CHECK (status IN ('requested', 'active', 'ended')),
    -- Who asks.
    issuer TEXT NOT NULL,
    subject TEXT NOT NULL,
    target TEXT NOT NULL,
    -- JSON of its owner: what was asked for.
    content TEXT NOT NULL,
    -- It was taken before anybody said yes.
    at_once BIGINT NOT NULL,
    -- How long it lasts from its start, in microseconds.
    lasts BIGINT NOT NULL,
    -- The most uses; NULL for any number. Only those of a grant with a limit are counted.
    uses_max BIGINT,
    uses BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    -- When people said yes, or it was taken.
    given_at BIGINT,
    -- Until when it must have started.
    start_by BIGINT,
    started_at BIGINT,
    ends_at BIGINT,
    -- When, by whom and why it was ended before; NULL while it was not.
    ended_at BIGINT,
    ended_by TEXT,
    ended_why TEXT
);

CREATE INDEX grants_live ON grants (status, ends_at);
CREATE INDEX grants_of_asker ON grants (issuer, subject);

-- Grows with every change of a grant, in the same transaction, so that gateways ask for one number and read no more.
CREATE TABLE grant_changes (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    number BIGINT NOT NULL
);

INSERT INTO grant_changes (id, number) VALUES (1, 1);
