-- What the pages add up, kept in the transaction of what it is made of, so that figures of a hundred thousand rows need
-- not read them. 0015 fills in what was there before. A version that knows nothing of these tables keeps them right, too.

-- One narrow row for each position that was opened and closed, with its result in R. Weekday (1 is Monday) and hour are
-- those of the entry in UTC; analyst and timeframe those of its signal.
CREATE TABLE trade_facts (
    position_id text COLLATE "C" PRIMARY KEY REFERENCES positions (id) ON DELETE CASCADE,
    closed_at timestamptz NOT NULL,
    strategy text COLLATE "C" NOT NULL,
    symbol text COLLATE "C" NOT NULL,
    broker_id text COLLATE "C" NOT NULL,
    direction text COLLATE "C" NOT NULL,
    analyst text COLLATE "C" NOT NULL,
    timeframe text COLLATE "C" NOT NULL,
    exit_reason text COLLATE "C" NOT NULL,
    weekday text COLLATE "C" NOT NULL,
    hour text COLLATE "C" NOT NULL,
    net numeric NOT NULL,
    fees numeric NOT NULL,
    r double precision
);
CREATE INDEX trade_facts_in_order ON trade_facts (closed_at, position_id);

CREATE FUNCTION note_trade() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM trade_facts WHERE position_id = new.id;
    IF new.closed_at IS NOT NULL AND new.first_quantity > 0 THEN
        INSERT INTO trade_facts
        SELECT new.id, new.closed_at, new.strategy, new.symbol, new.broker_id, new.direction,
            coalesce(signals.analyst, ''), coalesce(signals.timeframe, ''), new.exit_reason,
            to_char(new.opened_at AT TIME ZONE 'UTC', 'ID'), to_char(new.opened_at AT TIME ZONE 'UTC', 'HH24'),
            new.realised - new.fees, new.fees,
            CASE WHEN new.risk_amount > 0
                THEN (new.realised - new.fees)::double precision / new.risk_amount::double precision END
        FROM (VALUES (new.signal_id)) AS position (signal_id) LEFT JOIN signals ON signals.id = position.signal_id;
    END IF;
    RETURN NULL;
END
$$;

-- What is open and stays open costs nothing: it is saved with every mark.
CREATE TRIGGER positions_closed_noted AFTER INSERT ON positions
    FOR EACH ROW WHEN (new.closed_at IS NOT NULL) EXECUTE FUNCTION note_trade();
CREATE TRIGGER positions_changed_noted AFTER UPDATE ON positions
    FOR EACH ROW WHEN (new.closed_at IS NOT NULL OR old.closed_at IS NOT NULL) EXECUTE FUNCTION note_trade();

-- How many signals ended alike, by calendar month (UTC). What follows `signals` is of those whose outcome is not open;
-- `measured` of them have an R. Sums are decimals, so that what is taken away again leaves nothing behind.
CREATE TABLE signal_counts (
    month timestamptz NOT NULL,
    status text COLLATE "C" NOT NULL,
    stopped_by text COLLATE "C" NOT NULL,
    symbol text COLLATE "C" NOT NULL,
    broker_id text COLLATE "C" NOT NULL,
    strategy text COLLATE "C" NOT NULL,
    timeframe text COLLATE "C" NOT NULL,
    signals bigint NOT NULL,
    decided bigint NOT NULL,
    targets bigint NOT NULL,
    stops bigint NOT NULL,
    measured bigint NOT NULL,
    r_sum numeric NOT NULL,
    r_squares numeric NOT NULL,
    PRIMARY KEY (month, status, stopped_by, symbol, broker_id, strategy, timeframe)
);

-- Takes away what a signal and its outcome were, and adds what they are. Whoever counts holds the lock until its commit:
-- a signal and its outcome that change at once see each other, and no two wait for each other's rows.
CREATE FUNCTION count_signal() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    judged_before signals;
    judged_after signals;
    followed_before outcomes;
    followed_after outcomes;
BEGIN
    PERFORM pg_advisory_xact_lock(7302615400115);
    IF TG_TABLE_NAME = 'signals' THEN
        judged_before := old;
        judged_after := new;
        SELECT * INTO followed_after FROM outcomes WHERE signal_id = new.id;
        followed_before := followed_after;
    ELSE
        followed_before := old;
        followed_after := new;
        SELECT * INTO judged_after FROM signals WHERE id = new.signal_id;
        judged_before := judged_after;
    END IF;
    INSERT INTO signal_counts AS counts
    SELECT date_trunc('month', (judged).decided_at, 'UTC') AS month, (judged).status,
        CASE (judged).status WHEN 'refused' THEN split_part((judged).reason, ':', 1) ELSE (judged).rejected_by END
            AS stopped_by,
        (judged).symbol, (judged).broker_id, (judged).strategy, (judged).timeframe,
        sum(sign),
        coalesce(sum(sign) FILTER (WHERE verdict <> 'open'), 0),
        coalesce(sum(sign) FILTER (WHERE verdict = 'target_hit'), 0),
        coalesce(sum(sign) FILTER (WHERE verdict = 'stop_hit'), 0),
        coalesce(sum(sign) FILTER (WHERE verdict <> 'open' AND r IS NOT NULL), 0),
        coalesce(sum(sign * r) FILTER (WHERE verdict <> 'open'), 0),
        coalesce(sum(sign * r * r) FILTER (WHERE verdict <> 'open'), 0)
    FROM (VALUES (judged_before, followed_before, -1), (judged_after, followed_after, 1)) AS side (judged, followed, sign)
        CROSS JOIN LATERAL (SELECT (followed).verdict, (followed).r::numeric) AS outcome (verdict, r)
    WHERE (judged).id IS NOT NULL
    GROUP BY 1, 2, 3, 4, 5, 6, 7
    ON CONFLICT (month, status, stopped_by, symbol, broker_id, strategy, timeframe) DO UPDATE SET
        signals = counts.signals + excluded.signals,
        decided = counts.decided + excluded.decided,
        targets = counts.targets + excluded.targets,
        stops = counts.stops + excluded.stops,
        measured = counts.measured + excluded.measured,
        r_sum = counts.r_sum + excluded.r_sum,
        r_squares = counts.r_squares + excluded.r_squares;
    RETURN NULL;
END
$$;

-- Neither signals nor outcomes are ever deleted.
CREATE TRIGGER signals_counted AFTER INSERT OR UPDATE ON signals
    FOR EACH ROW EXECUTE FUNCTION count_signal();
CREATE TRIGGER outcomes_counted AFTER INSERT ON outcomes
    FOR EACH ROW WHEN (new.verdict <> 'open') EXECUTE FUNCTION count_signal();
CREATE TRIGGER outcomes_changed_counted AFTER UPDATE ON outcomes
    FOR EACH ROW WHEN ((old.verdict, old.r) IS DISTINCT FROM (new.verdict, new.r)) EXECUTE FUNCTION count_signal();

-- The newest instant, the deepest fall below the peak and the highest peak of each hour (UTC) of equity.
CREATE TABLE equity_hours (
    hour timestamptz PRIMARY KEY,
    at timestamptz NOT NULL,
    fall numeric NOT NULL,
    peak numeric NOT NULL
);

CREATE FUNCTION note_equity() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO equity_hours AS hours (hour, at, fall, peak)
    VALUES (date_trunc('hour', new.at, 'UTC'), new.at, new.peak - new.equity, new.peak)
    ON CONFLICT (hour) DO UPDATE SET
        at = greatest(hours.at, excluded.at),
        fall = greatest(hours.fall, excluded.fall),
        peak = greatest(hours.peak, excluded.peak);
    RETURN NULL;
END
$$;

CREATE TRIGGER portfolio_snapshots_noted AFTER INSERT ON portfolio_snapshots
    FOR EACH ROW EXECUTE FUNCTION note_equity();

-- Written by no version so far; that no candle is judged twice comes from the ids of its signals.
ALTER TABLE strategy_tasks DROP COLUMN last_judged_at;
