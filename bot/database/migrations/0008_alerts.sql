-- What people are told: one row for each alert, moved on as it is sent, acknowledged and resolved. `deliveries` says to
-- whom it went by which way; a delivery of a text message is there before the message is sent.
CREATE TABLE alerts (
    id text COLLATE "C" PRIMARY KEY,
    key text NOT NULL CHECK (key <> ''),
    severity text NOT NULL CHECK (severity IN ('info', 'warning', 'critical')),
    title text NOT NULL,
    body text NOT NULL,
    lasts boolean NOT NULL,
    raised_at timestamptz NOT NULL,
    last_at timestamptz NOT NULL CHECK (last_at >= raised_at),
    count bigint NOT NULL CHECK (count >= 1),
    resolved_at timestamptz,
    acked_at timestamptz,
    acked_by text NOT NULL CHECK ((acked_by = '') = (acked_at IS NULL)),
    deliveries jsonb NOT NULL
);
CREATE INDEX alerts_by_time ON alerts (raised_at);
CREATE INDEX alerts_by_use ON alerts (last_at);
CREATE INDEX alerts_waiting ON alerts (raised_at)
    WHERE severity = 'critical' AND resolved_at IS NULL AND acked_at IS NULL;

-- What the desk remembers over a restart: the newest update of Telegram that was acted on, and what it is told to do.
CREATE TABLE alert_desk (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    newest_update bigint NOT NULL,
    muted_until timestamptz,
    daily_digest_on date,
    weekly_digest_on date
);
INSERT INTO alert_desk (newest_update) VALUES (0);

-- A kill can be pressed from Telegram too.
ALTER TABLE kill_events DROP CONSTRAINT kill_events_cause_check;
ALTER TABLE kill_events ADD CONSTRAINT kill_events_cause_check
    CHECK (cause IN ('command', 'page', 'file', 'telegram', 'drawdown', 'daily loss'));
