-- The first schema. Rules that hold for every table:
--   * Money, prices and quantities are numeric, instants are timestamptz and come from the Clock: no default is a time.
--   * Ids that rows are ordered by carry COLLATE "C", so that ties sort as they do in Python.
--   * An aggregate's own rows refer to each other by foreign keys. Aggregates do not: an order must be recordable
--     whatever became of its signal's row, and the journal outlives all of them.
--   * `price < 'Infinity'` also refuses NaN, which PostgreSQL sorts above every number. Prices may be negative.

-- ---------------------------------------------------------------------------------------------------------- signals

CREATE TABLE signals (
    id text COLLATE "C" PRIMARY KEY,
    task_id text NOT NULL,
    strategy text NOT NULL,
    broker_id text NOT NULL,
    symbol text NOT NULL,
    timeframe text NOT NULL,
    candle_closed_at timestamptz NOT NULL,
    direction text CHECK (direction IN ('long', 'short')),
    entry numeric, -- as proposed: a vetoed signal keeps the nonsense it was vetoed for
    stop_loss numeric,
    targets jsonb NOT NULL,
    confidence double precision NOT NULL,
    claim jsonb,
    analyst text NOT NULL,
    score double precision NOT NULL,
    status text NOT NULL CHECK (status <> ''),
    rejected_by text NOT NULL,
    reason text NOT NULL,
    decided_at timestamptz NOT NULL
);
CREATE INDEX signals_newest ON signals (decided_at DESC, id DESC);
CREATE INDEX signals_by_status ON signals (status);

-- One verdict row for each rule. A measured number is in `measured`, anything else in `measured_text`; both are null
-- where an input was missing.
CREATE TABLE signal_findings (
    signal_id text COLLATE "C" NOT NULL REFERENCES signals (id) ON DELETE CASCADE,
    ordinal integer NOT NULL CHECK (ordinal >= 0),
    code text NOT NULL,
    name text NOT NULL,
    status text NOT NULL CHECK (status IN ('pass', 'fail', 'off', 'n/a')),
    measured double precision,
    measured_text text,
    limit_text text NOT NULL,
    PRIMARY KEY (signal_id, ordinal),
    CHECK (measured IS NULL OR measured_text IS NULL)
);

-- ----------------------------------------------------------------------------------------------------------- orders

-- `filled_price` is the average over the order's own fills. `filled_quantity` may exceed `quantity`: an overfill is
-- an incident, and refusing its row would hide it.
CREATE TABLE orders (
    client_order_id text COLLATE "C" PRIMARY KEY,
    position_id text COLLATE "C" NOT NULL,
    signal_id text COLLATE "C",
    task_id text NOT NULL,
    broker_id text NOT NULL,
    symbol text NOT NULL,
    role text NOT NULL CHECK (role IN ('entry', 'stop', 'exit')),
    side text NOT NULL CHECK (side IN ('buy', 'sell')),
    kind text NOT NULL CHECK (kind IN ('market', 'limit', 'stop')),
    quantity numeric NOT NULL CHECK (quantity > 0 AND quantity < 'Infinity'),
    price numeric CHECK (price < 'Infinity'),
    state text NOT NULL CHECK (
        state IN (
            'INTENT', 'SENDING', 'UNKNOWN', 'WORKING', 'TRIGGERED', 'PARTIAL', 'REPLACE_PENDING', 'CANCEL_PENDING',
            'FILLED', 'CANCELED', 'EXPIRED', 'REJECTED', 'DENIED', 'NOT_PLACED'
        )
    ),
    reason text NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    venue_order_id text,
    filled_quantity numeric NOT NULL CHECK (filled_quantity >= 0 AND filled_quantity < 'Infinity'),
    filled_price numeric CHECK (filled_price < 'Infinity')
);
-- One entry for each signal (RELIABILITY I3), whoever asks and however often.
CREATE UNIQUE INDEX orders_one_entry_per_signal ON orders (signal_id) WHERE role = 'entry';
CREATE INDEX orders_of_position ON orders (position_id, created_at, client_order_id);
CREATE INDEX orders_newest ON orders (created_at DESC, client_order_id DESC);
CREATE INDEX orders_unfinished ON orders (created_at, client_order_id) WHERE state IN (
    'INTENT', 'SENDING', 'UNKNOWN', 'WORKING', 'TRIGGERED', 'PARTIAL', 'REPLACE_PENDING', 'CANCEL_PENDING'
);

CREATE TABLE order_events (
    sequence bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    client_order_id text COLLATE "C" NOT NULL REFERENCES orders (client_order_id),
    from_state text NOT NULL, -- empty in the first event of an order
    to_state text NOT NULL CHECK (to_state <> ''),
    cause text NOT NULL,
    at timestamptz NOT NULL
);
CREATE INDEX order_events_of_order ON order_events (client_order_id, sequence);

-- A fill is a fact of the venue, applied once (RELIABILITY I9).
CREATE TABLE fills (
    broker_id text NOT NULL,
    venue_fill_id text COLLATE "C" NOT NULL,
    client_order_id text COLLATE "C" NOT NULL REFERENCES orders (client_order_id),
    symbol text NOT NULL,
    side text NOT NULL CHECK (side IN ('buy', 'sell')),
    quantity numeric NOT NULL CHECK (quantity > 0 AND quantity < 'Infinity'),
    price numeric NOT NULL CHECK (price < 'Infinity'),
    fee numeric NOT NULL CHECK (fee < 'Infinity'),
    filled_at timestamptz NOT NULL,
    cause text NOT NULL,
    PRIMARY KEY (broker_id, venue_fill_id)
);
CREATE INDEX fills_of_order ON fills (client_order_id, filled_at);

-- `entry_price` and `exit_price` are averages of the opening and of the closing fills; neither overwrites the other.
-- A position is stored with the intent of its entry (`first_quantity` 0) and may be closed without ever being opened.
CREATE TABLE positions (
    id text COLLATE "C" PRIMARY KEY,
    task_id text NOT NULL,
    signal_id text COLLATE "C" NOT NULL,
    strategy text NOT NULL,
    broker_id text NOT NULL,
    symbol text NOT NULL,
    direction text NOT NULL CHECK (direction IN ('long', 'short')),
    plan jsonb NOT NULL,
    entry_order_id text COLLATE "C" NOT NULL REFERENCES orders (client_order_id),
    stop_order_id text COLLATE "C" NOT NULL,
    first_quantity numeric NOT NULL CHECK (first_quantity >= 0 AND first_quantity < 'Infinity'),
    quantity numeric NOT NULL CHECK (quantity >= 0 AND quantity < 'Infinity'),
    entry_price numeric NOT NULL CHECK (entry_price < 'Infinity'),
    stop_price numeric NOT NULL CHECK (stop_price < 'Infinity'),
    exit_price numeric CHECK (exit_price < 'Infinity'),
    closed_quantity numeric NOT NULL CHECK (closed_quantity >= 0 AND closed_quantity < 'Infinity'),
    realised numeric NOT NULL CHECK (realised < 'Infinity'),
    fees numeric NOT NULL CHECK (fees < 'Infinity'),
    risk_amount numeric NOT NULL CHECK (risk_amount >= 0 AND risk_amount < 'Infinity'),
    targets_hit integer NOT NULL CHECK (targets_hit >= 0),
    best_price numeric NOT NULL CHECK (best_price < 'Infinity'),
    worst_price numeric NOT NULL CHECK (worst_price < 'Infinity'),
    mark_price numeric NOT NULL CHECK (mark_price < 'Infinity'),
    break_even boolean NOT NULL,
    is_trailing boolean NOT NULL, -- the bare word is reserved
    value_per_point numeric NOT NULL CHECK (value_per_point >= 0 AND value_per_point < 'Infinity'),
    opened_at timestamptz NOT NULL,
    closed_at timestamptz,
    exit_reason text NOT NULL
);
CREATE INDEX positions_open ON positions (opened_at, id) WHERE closed_at IS NULL;
CREATE INDEX positions_closed ON positions (closed_at DESC, id DESC)
    WHERE closed_at IS NOT NULL AND first_quantity > 0;
CREATE INDEX positions_closed_of_broker ON positions (broker_id, closed_at)
    WHERE closed_at IS NOT NULL AND first_quantity > 0;

CREATE TABLE fill_cursors (
    broker_id text PRIMARY KEY,
    cursor text NOT NULL
);

-- --------------------------------------------------------------------------------------------------- what came of it

CREATE TABLE outcomes (
    signal_id text COLLATE "C" PRIMARY KEY,
    symbol text NOT NULL,
    timeframe text NOT NULL,
    direction text NOT NULL CHECK (direction IN ('long', 'short')),
    accepted boolean NOT NULL,
    paid numeric NOT NULL CHECK (paid < 'Infinity'),
    stop numeric NOT NULL CHECK (stop < 'Infinity'),
    target numeric NOT NULL CHECK (target < 'Infinity'),
    started_at timestamptz NOT NULL,
    followed_until timestamptz NOT NULL,
    candles integer NOT NULL CHECK (candles >= 0),
    checkpoints jsonb NOT NULL,
    mfe_r double precision NOT NULL,
    mae_r double precision NOT NULL,
    verdict text NOT NULL CHECK (verdict IN ('open', 'target_hit', 'stop_hit', 'neither')),
    r double precision,
    done boolean NOT NULL
);
CREATE INDEX outcomes_newest ON outcomes (started_at DESC, signal_id DESC);
CREATE INDEX outcomes_unfinished ON outcomes (started_at, signal_id) WHERE NOT done;

CREATE TABLE portfolio_snapshots (
    sequence bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL,
    equity numeric NOT NULL CHECK (equity < 'Infinity'),
    balance numeric NOT NULL CHECK (balance < 'Infinity'),
    open_positions integer NOT NULL CHECK (open_positions >= 0),
    peak numeric NOT NULL CHECK (peak < 'Infinity')
);
CREATE INDEX portfolio_snapshots_by_time ON portfolio_snapshots (at, sequence);

-- The drawdown kill switch, with who cleared it: rows stay, and at most one is not cleared.
CREATE TABLE stops_latched (
    sequence bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    reason text NOT NULL CHECK (reason <> ''),
    latched_at timestamptz NOT NULL,
    cleared_by text,
    cleared_at timestamptz,
    CHECK ((cleared_by IS NULL) = (cleared_at IS NULL))
);
CREATE UNIQUE INDEX stops_latched_one_at_a_time ON stops_latched ((true)) WHERE cleared_at IS NULL;

-- --------------------------------------------------------------------------------------------------- setups and tasks

CREATE TABLE setups (
    signal_id text COLLATE "C" PRIMARY KEY,
    task_id text NOT NULL,
    symbol text NOT NULL,
    direction text NOT NULL CHECK (direction IN ('long', 'short')),
    stop numeric NOT NULL CHECK (stop < 'Infinity'),
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    ended_as text NOT NULL,
    ended_at timestamptz,
    CHECK ((ended_as = '') = (ended_at IS NULL))
);
CREATE UNIQUE INDEX setups_one_live_per_symbol ON setups (symbol) WHERE ended_at IS NULL;
CREATE INDEX setups_newest ON setups (created_at DESC, signal_id DESC);

CREATE TABLE strategy_tasks (
    id text COLLATE "C" PRIMARY KEY,
    strategy text NOT NULL,
    broker_id text NOT NULL,
    symbol text NOT NULL,
    timeframe text NOT NULL,
    parameters jsonb NOT NULL,
    state text NOT NULL CHECK (state IN ('running', 'paused', 'stopped')),
    last_judged_at timestamptz -- close of the newest candle that was judged
);

-- ---------------------------------------------------------------------------------------------------------- journal

CREATE TABLE journal (
    sequence bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL,
    kind text NOT NULL,
    task_id text,
    data jsonb NOT NULL
);

-- ------------------------------------------------------------------------------------------------------- append-only

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'table % is append-only: % is refused; add a row that corrects it', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'integrity_constraint_violation';
END
$$;

CREATE TRIGGER order_events_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON order_events
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER fills_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON fills
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER journal_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON journal
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
