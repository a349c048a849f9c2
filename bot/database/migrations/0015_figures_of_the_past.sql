-- Fills what 0014 made from the rows that were there before. A daemon of the version before may go on meanwhile: the
-- triggers are in place, positions are not locked, and only who judges a signal or decides an outcome waits.
INSERT INTO trade_facts
SELECT positions.id, closed_at, positions.strategy, positions.symbol, positions.broker_id, positions.direction,
    coalesce(signals.analyst, ''), coalesce(signals.timeframe, ''), exit_reason,
    to_char(opened_at AT TIME ZONE 'UTC', 'ID'), to_char(opened_at AT TIME ZONE 'UTC', 'HH24'),
    realised - fees, fees,
    CASE WHEN risk_amount > 0 THEN (realised - fees)::double precision / risk_amount::double precision END
FROM positions LEFT JOIN signals ON signals.id = positions.signal_id
WHERE closed_at IS NOT NULL AND first_quantity > 0
ORDER BY closed_at, positions.id
ON CONFLICT (position_id) DO NOTHING;

INSERT INTO equity_hours AS hours (hour, at, fall, peak)
SELECT date_trunc('hour', at, 'UTC'), max(at), max(peak - equity), max(peak) FROM portfolio_snapshots GROUP BY 1
ON CONFLICT (hour) DO UPDATE SET
    at = greatest(hours.at, excluded.at),
    fall = greatest(hours.fall, excluded.fall),
    peak = greatest(hours.peak, excluded.peak);

SELECT pg_advisory_xact_lock(7302615400115);
DELETE FROM signal_counts;
INSERT INTO signal_counts
SELECT date_trunc('month', decided_at, 'UTC'), status,
    CASE status WHEN 'refused' THEN split_part(reason, ':', 1) ELSE rejected_by END,
    signals.symbol, broker_id, strategy, signals.timeframe,
    count(*),
    count(*) FILTER (WHERE verdict <> 'open'),
    count(*) FILTER (WHERE verdict = 'target_hit'),
    count(*) FILTER (WHERE verdict = 'stop_hit'),
    count(r) FILTER (WHERE verdict <> 'open'),
    coalesce(sum(r::numeric) FILTER (WHERE verdict <> 'open'), 0),
    coalesce(sum(r::numeric * r::numeric) FILTER (WHERE verdict <> 'open'), 0)
FROM signals LEFT JOIN outcomes ON outcomes.signal_id = signals.id
GROUP BY 1, 2, 3, 4, 5, 6, 7;
