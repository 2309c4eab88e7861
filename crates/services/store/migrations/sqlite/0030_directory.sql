-- People and groups as an identity provider keeps them current (SCIM), for one realm each. What they mean is their owner's JSON.
CREATE TABLE directory (
    realm TEXT NOT NULL,
    -- user or group
    kind TEXT NOT NULL,
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    -- The name without regard to case.
    name_key TEXT NOT NULL,
    external_id TEXT,
    active BOOLEAN NOT NULL,
    version BIGINT NOT NULL,
    content TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    changed_at BIGINT NOT NULL,
    PRIMARY KEY (realm, kind, id),
    UNIQUE (realm, kind, name_key),
    UNIQUE (realm, kind, external_id)
);

CREATE TABLE directory_members (
    realm TEXT NOT NULL,
    group_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    PRIMARY KEY (realm, group_id, user_id)
);

CREATE INDEX directory_members_user ON directory_members (realm, user_id);
