-- What analysts made of candles: at most one opinion for each candle of a task, never changed.
CREATE TABLE analyst_opinions (
    task_id text COLLATE "C" NOT NULL,
    candle_closed_at timestamptz NOT NULL,
    symbol text NOT NULL,
    timeframe text NOT NULL,
    at timestamptz NOT NULL,
    rung text NOT NULL,
    effect text NOT NULL,
    lets_enter boolean NOT NULL,
    why text NOT NULL,
    model text NOT NULL,
    sent text NOT NULL,
    said jsonb,
    direction text CHECK (direction IN ('long', 'short')),
    confidence double precision CHECK (confidence >= 0 AND confidence <= 1),
    fault text NOT NULL,
    untrue jsonb NOT NULL,
    struck_out jsonb NOT NULL,
    steps jsonb NOT NULL,
    usage jsonb NOT NULL,
    latency_s double precision NOT NULL,
    request_key text NOT NULL,
    origin text NOT NULL,
    PRIMARY KEY (task_id, candle_closed_at)
);
CREATE INDEX analyst_opinions_newest ON analyst_opinions (at DESC, task_id DESC);
CREATE INDEX analyst_opinions_entered ON analyst_opinions (at) WHERE lets_enter;

CREATE TRIGGER analyst_opinions_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON analyst_opinions
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Which models have a say. The newest row of a model holds.
CREATE TABLE analyst_gates (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    model text COLLATE "C" NOT NULL CHECK (model <> ''),
    may_decide boolean NOT NULL,
    confidence_counts boolean NOT NULL CHECK (may_decide OR NOT confidence_counts),
    by text NOT NULL CHECK (by <> ''),
    says text NOT NULL,
    at timestamptz NOT NULL
);
CREATE INDEX analyst_gates_newest ON analyst_gates (model, number DESC);

CREATE TRIGGER analyst_gates_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON analyst_gates
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
