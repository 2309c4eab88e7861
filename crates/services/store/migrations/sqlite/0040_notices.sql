-- What is told to people and programs outside, and what became of it.
CREATE TABLE notices (
    -- Also what a receiver knows a message by that comes twice.
    id TEXT PRIMARY KEY,
    receiver TEXT NOT NULL,
    -- Of one topic a receiver gets one notice, whichever gateway sees it first, and however often.
    topic TEXT NOT NULL,
    kind TEXT NOT NULL,
    -- What it is about: notices of one thread follow each other.
    thread TEXT NOT NULL,
    -- Lower goes first.
    urgency BIGINT NOT NULL,
    -- JSON of its owner.
    content TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('waiting', 'sent', 'dead', 'merged')),
    -- How often the same came again, and how many of these were told.
    more BIGINT NOT NULL,
    told BIGINT NOT NULL,
    -- Until when the same is counted here.
    window_until BIGINT NOT NULL,
    tries BIGINT NOT NULL,
    next_at BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    -- When it was sent, given up or merged; NULL while it waits.
    done_at BIGINT,
    -- Why it was not sent the last time.
    error TEXT NOT NULL,
    -- Where the receiver put it.
    reference TEXT NOT NULL,
    -- The notice that tells of this one.
    merged_into TEXT NOT NULL,
    UNIQUE (receiver, topic)
);

CREATE INDEX notices_due ON notices (receiver, status, next_at);
CREATE INDEX notices_thread ON notices (receiver, thread);
CREATE INDEX notices_merged ON notices (merged_into);

CREATE TABLE notice_receivers (
    name TEXT PRIMARY KEY,
    -- The gateway that sends to it, and until when that said it would.
    gateway TEXT NOT NULL,
    lease_until BIGINT NOT NULL,
    -- Messages in a minute since the epoch.
    minute BIGINT NOT NULL,
    sent_in_minute BIGINT NOT NULL,
    -- Since when nothing could be sent, and why; NULL while it can.
    failing_since BIGINT,
    error TEXT NOT NULL,
    sent_at BIGINT
);
