-- When an API key was last used, to the minute, and from where.
ALTER TABLE api_keys ADD COLUMN used_at BIGINT;
ALTER TABLE api_keys ADD COLUMN used_from TEXT;
