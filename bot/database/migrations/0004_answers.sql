-- What people answered to differences between our record and a venue. A row is moved on to its end, and never removed:
-- 'given' waits for the daemon, 'begun' is being carried out (also after a crash), 'done' and 'refused' are ends.
CREATE TABLE reconcile_answers (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    broker_id text NOT NULL,
    difference_id text NOT NULL,
    fingerprint text COLLATE "C" NOT NULL,
    kind text NOT NULL CHECK (kind IN ('adopt', 'ignore', 'flatten')),
    about text NOT NULL,
    subject text NOT NULL,
    says text NOT NULL,
    by text NOT NULL CHECK (by <> ''),
    at timestamptz NOT NULL,
    state text NOT NULL CHECK (state IN ('given', 'begun', 'done', 'refused')),
    outcome text NOT NULL,
    ended_at timestamptz CHECK ((ended_at IS NULL) = (state IN ('given', 'begun')))
);
CREATE UNIQUE INDEX reconcile_answers_unfinished ON reconcile_answers (fingerprint) WHERE state IN ('given', 'begun');
CREATE INDEX reconcile_answers_done ON reconcile_answers (fingerprint, number) WHERE state = 'done';

CREATE TRIGGER reconcile_answers_kept BEFORE DELETE OR TRUNCATE ON reconcile_answers
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
