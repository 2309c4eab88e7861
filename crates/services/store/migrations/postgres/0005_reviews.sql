-- What waits for people, or waited.
CREATE TABLE reviews (
    id TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    -- Grows with every change; a change says which version it was made of, so that of two at once one fails.
    version BIGINT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('pending', 'approved', 'denied', 'withdrawn', 'expired', 'used')),
    -- Who asks.
    issuer TEXT NOT NULL,
    subject TEXT NOT NULL,
    -- Where it waits; empty when nothing does.
    session TEXT NOT NULL,
    -- What it is about, whatever the session: a digest.
    action TEXT NOT NULL,
    -- What an approval is good for: a digest.
    binding TEXT NOT NULL,
    -- JSON of its owner.
    content TEXT NOT NULL,
    -- The process in which it waits, and until when that said it still would.
    gateway TEXT NOT NULL,
    lease_until BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    -- When and why it came to its end; NULL while it has not.
    ended_at BIGINT,
    ended_why TEXT
);

CREATE INDEX reviews_of_action ON reviews (action);
CREATE INDEX reviews_of_asker ON reviews (issuer, subject, status);
CREATE INDEX reviews_of_status ON reviews (status, expires_at);

CREATE TABLE review_answers (
    review TEXT NOT NULL REFERENCES reviews (id) ON DELETE CASCADE,
    -- The version of the review that it made.
    version BIGINT NOT NULL,
    -- JSON of its owner: who, what, when.
    content TEXT NOT NULL,
    PRIMARY KEY (review, version)
);
