-- Acts asked for over the API under a key of the asker's own: asked again, they get the answer of the first time. A row
-- without a status has begun, and nobody knows yet how it ended. Rows are forgotten after a day.
CREATE TABLE acts (
    who text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    fingerprint text NOT NULL,
    at timestamptz NOT NULL,
    status integer,
    answer text NOT NULL,
    PRIMARY KEY (who, key)
);
CREATE INDEX acts_by_time ON acts (at);

-- A kill can be pressed over the API too.
ALTER TABLE kill_events DROP CONSTRAINT kill_events_cause_check;
ALTER TABLE kill_events ADD CONSTRAINT kill_events_cause_check
    CHECK (cause IN ('command', 'page', 'file', 'telegram', 'api', 'drawdown', 'daily loss'));
