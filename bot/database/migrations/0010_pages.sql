-- What the pages ask: signals by status, by what stopped them and by symbol, closed positions by symbol, newest first.
CREATE INDEX signals_of_status ON signals (status, decided_at DESC, id DESC);
DROP INDEX signals_by_status;
CREATE INDEX signals_of_stop ON signals (
    (CASE status WHEN 'refused' THEN split_part(reason, ':', 1) ELSE rejected_by END), decided_at DESC, id DESC
);
CREATE INDEX signals_of_symbol ON signals (symbol, decided_at DESC, id DESC);
CREATE INDEX positions_closed_of_symbol ON positions (symbol, closed_at DESC, id DESC)
    WHERE closed_at IS NOT NULL AND first_quantity > 0;
