-- With every candle the R of an outcome that is still open changes, and nothing that is counted does: whoever follows
-- outcomes takes the lock only with one that is decided, so that no signal on its way to an order waits for the others.
CREATE OR REPLACE TRIGGER outcomes_changed_counted AFTER UPDATE ON outcomes
    FOR EACH ROW WHEN (
        (old.verdict <> 'open' OR new.verdict <> 'open') AND (old.verdict, old.r) IS DISTINCT FROM (new.verdict, new.r)
    ) EXECUTE FUNCTION count_signal();
