-- People, how they come in, the programs that act in their names, and what was done. Names are in lower case; nobody is
-- removed, because the audit names people.
CREATE TABLE users (
    name text COLLATE "C" PRIMARY KEY CHECK (name <> ''),
    role text NOT NULL CHECK (role IN ('viewer', 'operator', 'admin')),
    password_hash text NOT NULL CHECK (password_hash <> ''),
    must_change boolean NOT NULL,
    created_at timestamptz NOT NULL,
    password_at timestamptz NOT NULL,
    disabled_at timestamptz,
    sealed_seed bytea,
    seeded_by text NOT NULL,
    newest_step bigint NOT NULL DEFAULT 0 -- of the second factor: a code of this step or an older one is used up
);

CREATE TABLE recovery_codes (
    user_name text COLLATE "C" NOT NULL REFERENCES users (name),
    digest bytea NOT NULL,
    used_at timestamptz,
    PRIMARY KEY (user_name, digest)
);

-- Wrong tries in a row, by account, by address and by known browser; removed by a right one.
CREATE TABLE login_failures (
    key text COLLATE "C" PRIMARY KEY,
    count bigint NOT NULL CHECK (count >= 1),
    at timestamptz NOT NULL
);
CREATE INDEX login_failures_by_time ON login_failures (at);

CREATE TABLE user_sessions (
    digest bytea PRIMARY KEY,
    id text COLLATE "C" NOT NULL UNIQUE,
    user_name text COLLATE "C" NOT NULL REFERENCES users (name),
    opened_at timestamptz NOT NULL,
    used_at timestamptz NOT NULL,
    stepped_up_at timestamptz,
    address text NOT NULL,
    agent text NOT NULL
);
CREATE INDEX user_sessions_of_user ON user_sessions (user_name, opened_at);

CREATE TABLE api_tokens (
    id text COLLATE "C" PRIMARY KEY,
    digest bytea NOT NULL,
    user_name text COLLATE "C" NOT NULL REFERENCES users (name),
    label text NOT NULL,
    scopes text[] NOT NULL CHECK (scopes <@ ARRAY['read', 'kill', 'trade', 'admin'] AND cardinality(scopes) >= 1),
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL CHECK (expires_at > created_at),
    revoked_at timestamptz,
    used_at timestamptz
);
CREATE INDEX api_tokens_newest ON api_tokens (created_at, id);

CREATE TABLE audit_log (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL,
    who text NOT NULL,
    how text NOT NULL,
    address text NOT NULL,
    what text NOT NULL,
    detail text NOT NULL,
    result text NOT NULL CHECK (result IN ('ok', 'refused', 'failed'))
);
CREATE INDEX audit_log_by_who ON audit_log (who, number);
CREATE INDEX audit_log_by_what ON audit_log (what, number);
CREATE TRIGGER audit_log_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
