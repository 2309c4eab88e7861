-- What people show beside their logins: for each person all of it at once, so that a change is made of one version and of no other.
CREATE TABLE factors (
    issuer TEXT NOT NULL,
    subject TEXT NOT NULL,
    -- The name that people read; as it was last.
    name TEXT NOT NULL,
    version BIGINT NOT NULL,
    -- JSON of its owner: public keys, counts, and secrets that are sealed.
    content TEXT NOT NULL,
    PRIMARY KEY (issuer, subject)
);

CREATE INDEX factors_name ON factors (name);
