-- What verified tokens became: a login's certificates are good for as long as it is.
CREATE TABLE logins (
    id TEXT PRIMARY KEY,
    issuer TEXT NOT NULL,
    subject TEXT NOT NULL,
    -- JSON of its owner: the identity as it was verified. No token, no key.
    identity TEXT NOT NULL,
    -- Thumbprint of the public key.
    key_thumbprint TEXT NOT NULL,
    -- Digest of the token that it came of.
    token_digest TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    -- When and why it was ended before its time; NULL while it was not.
    ended_at BIGINT,
    ended_why TEXT
);

CREATE INDEX logins_of_subject ON logins (issuer, subject);
CREATE INDEX logins_of_token ON logins (token_digest);
CREATE INDEX logins_expiry ON logins (expires_at);

-- What was used first with what: a token with a key, a proof once.
CREATE TABLE credential_uses (
    -- A digest.
    id TEXT PRIMARY KEY,
    binding TEXT NOT NULL,
    used_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);

CREATE INDEX credential_uses_expiry ON credential_uses (expires_at);
