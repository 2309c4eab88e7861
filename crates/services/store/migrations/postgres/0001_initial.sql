-- Times are microseconds since the Unix epoch, UTC.

CREATE TABLE accounts (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    -- The name in small letters: two accounts must not look alike.
    name_key TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL CHECK (kind IN ('human', 'machine', 'agent')),
    -- A JSON array of texts.
    member_of TEXT NOT NULL,
    -- A PHC string; NULL when the account has no password.
    secret_hash TEXT,
    disabled BOOLEAN NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE signing_keys (
    issuer TEXT NOT NULL,
    id TEXT NOT NULL,
    -- Sealed by its owner: the store never sees the key itself.
    private_key BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    retired_at BIGINT,
    PRIMARY KEY (issuer, id)
);

CREATE TABLE sealed_secrets (
    name TEXT PRIMARY KEY,
    version BIGINT NOT NULL,
    nonce BYTEA NOT NULL,
    ciphertext BYTEA NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE meta (
    name TEXT PRIMARY KEY,
    content TEXT NOT NULL
);
