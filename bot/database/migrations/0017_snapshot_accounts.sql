-- What each account was worth, so that the drawdown counts one that is silent at its last known value, over restarts
-- too, and that a snapshot tells whose equity its peak holds. Rows from before, and those of a daemon of the version
-- before, have none.
ALTER TABLE portfolio_snapshots ADD COLUMN accounts jsonb NOT NULL DEFAULT '[]';
