-- Keys for the gateway's API. What is kept opens nothing: of a key's secret it is the digest.
CREATE TABLE api_keys (
    id TEXT PRIMARY KEY,
    digest TEXT NOT NULL,
    -- Whose it is.
    issuer TEXT NOT NULL,
    subject TEXT NOT NULL,
    -- JSON of its owner: its name, its scope, and the identity as it was verified when the key was made.
    content TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    -- When, by whom and why it was revoked; NULL while it was not.
    ended_at BIGINT,
    ended_by TEXT,
    ended_why TEXT
);

CREATE INDEX api_keys_of_owner ON api_keys (issuer, subject);
CREATE INDEX api_keys_live ON api_keys (ended_at, expires_at);
