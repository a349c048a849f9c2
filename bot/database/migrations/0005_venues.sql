-- What a venue keeps of the bought quantity as its fee (spot markets): the position grows by the rest.
ALTER TABLE fills ADD COLUMN withheld numeric NOT NULL DEFAULT 0 CHECK (withheld >= 0 AND withheld <= quantity);

-- Which account each venue's orders and positions in this database belong to. Another account is refused, because
-- everything of the first one would look lost.
CREATE TABLE accounts (
    broker_id text PRIMARY KEY,
    fingerprint text NOT NULL CHECK (fingerprint <> ''),
    account text NOT NULL,
    bound_at timestamptz NOT NULL
);
