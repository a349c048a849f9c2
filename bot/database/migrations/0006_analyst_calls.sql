-- Every request to a model that was, or may have been, sent: what it said, what came back, what it cost. A row is there
-- before the request goes out, at the most it can cost, so that the sum of `counted` never lags behind the bill.
CREATE TABLE analyst_calls (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key text NOT NULL,
    model text NOT NULL,
    at timestamptz NOT NULL,
    symbol text NOT NULL,
    signal_id text NOT NULL,
    attempt integer NOT NULL CHECK (attempt >= 1),
    state text NOT NULL CHECK (state IN ('reserved', 'settled', 'unknown', 'imported')),
    reserved numeric NOT NULL CHECK (reserved >= 0 AND reserved < 'Infinity'),
    counted numeric NOT NULL CHECK (counted >= 0 AND counted < 'Infinity'),
    cost numeric NOT NULL CHECK (cost >= 0 AND cost < 'Infinity'),
    outcome text NOT NULL,
    says text NOT NULL,
    request_body jsonb NOT NULL,
    reply_body jsonb,
    input_tokens bigint NOT NULL,
    cache_write_tokens bigint NOT NULL,
    cache_read_tokens bigint NOT NULL,
    output_tokens bigint NOT NULL,
    latency_s double precision NOT NULL,
    request_id text NOT NULL,
    origin text NOT NULL CHECK (origin <> '')
);
CREATE INDEX analyst_calls_by_time ON analyst_calls (at);
CREATE INDEX analyst_calls_answered ON analyst_calls (key, model, number) WHERE outcome = 'answered';
CREATE INDEX analyst_calls_of_signal ON analyst_calls (signal_id) WHERE signal_id <> '';

-- Dollars counted in each hour (UTC), so that asking for what a month has cost so far does not read its calls.
CREATE TABLE analyst_spending (
    hour timestamptz PRIMARY KEY,
    counted numeric NOT NULL
);

CREATE FUNCTION count_analyst_call() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO analyst_spending AS spending (hour, counted)
    VALUES (date_trunc('hour', new.at, 'UTC'), new.counted - CASE TG_OP WHEN 'UPDATE' THEN old.counted ELSE 0 END)
    ON CONFLICT (hour) DO UPDATE SET counted = spending.counted + excluded.counted;
    RETURN NULL;
END
$$;

CREATE TRIGGER analyst_calls_counted AFTER INSERT OR UPDATE OF counted ON analyst_calls
    FOR EACH ROW EXECUTE FUNCTION count_analyst_call();
