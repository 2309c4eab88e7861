-- What lives for minutes or hours and is good once: codes, requests of devices, refresh tokens, and the families that end them.
CREATE TABLE short_lived (
    kind TEXT NOT NULL,
    -- SHA-256 of what the client holds, never that itself.
    digest TEXT NOT NULL,
    -- JSON of its owner; nothing in it opens anything.
    content TEXT NOT NULL,
    expires_at BIGINT NOT NULL,
    -- When it was used up or ended; NULL while it is good.
    consumed_at BIGINT,
    PRIMARY KEY (kind, digest)
);

CREATE INDEX short_lived_expiry ON short_lived (kind, expires_at);
