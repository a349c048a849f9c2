-- The kill switch: presses and releases as rows that are only ever added (RELIABILITY I11, I12). The latch of the drawdown,
-- until now a table of its own, becomes one cause among others.

-- `level` 'none' releases whatever was pressed before it with the same cause for the same broker; `broker_id` '' is all.
CREATE TABLE kill_events (
    sequence bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    level text NOT NULL CHECK (level IN ('none', 'pause', 'flatten', 'halt')),
    cause text NOT NULL CHECK (cause IN ('command', 'page', 'file', 'drawdown', 'daily loss')),
    broker_id text NOT NULL,
    by text NOT NULL CHECK (by <> ''),
    reason text NOT NULL,
    at timestamptz NOT NULL
);
CREATE INDEX kill_events_by_cause ON kill_events (cause, broker_id, sequence);

INSERT INTO kill_events (level, cause, broker_id, by, reason, at)
SELECT level, 'drawdown', '', by, reason, at
FROM (
    SELECT sequence, 1 AS step, 'pause' AS level, 'daemon' AS by, reason, latched_at AS at FROM stops_latched
    UNION ALL
    SELECT sequence, 2, 'none', coalesce(nullif(cleared_by, ''), 'unknown'), 'cleared', cleared_at
    FROM stops_latched WHERE cleared_at IS NOT NULL
) AS rows_of_before
ORDER BY sequence, step;

DROP TABLE stops_latched;

CREATE TRIGGER kill_events_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON kill_events
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Whoever writes a row wakes the daemon at the commit, and not before.
CREATE FUNCTION tell_of_kill() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('kill_events', NEW.level);
    RETURN NULL;
END
$$;

CREATE TRIGGER kill_events_told AFTER INSERT ON kill_events
    FOR EACH ROW EXECUTE FUNCTION tell_of_kill();
