-- What was applied over the API: targets, policies and tags, each time the whole set. The highest revision is the one to be in force.
CREATE TABLE applied_revisions (
    revision BIGINT PRIMARY KEY CHECK (revision > 0),
    -- Of the files' names and texts.
    digest TEXT NOT NULL,
    applied_by TEXT NOT NULL,
    applied_at BIGINT NOT NULL,
    message TEXT NOT NULL,
    -- JSON of its owner: the files; NULL once it is too old to be kept.
    files TEXT
);
