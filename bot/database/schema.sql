-- Made from the migrations by bot.database.schema.write_schema: do not edit.
-- A test compares it with a migrated database.

CREATE TABLE fill_cursors (
    broker_id text NOT NULL,
    cursor text NOT NULL,
    CONSTRAINT fill_cursors_pkey PRIMARY KEY (broker_id)
);

CREATE TABLE fills (
    broker_id text NOT NULL,
    venue_fill_id text COLLATE "C" NOT NULL,
    client_order_id text COLLATE "C" NOT NULL,
    symbol text NOT NULL,
    side text NOT NULL,
    quantity numeric NOT NULL,
    price numeric NOT NULL,
    fee numeric NOT NULL,
    filled_at timestamp with time zone NOT NULL,
    cause text NOT NULL,
    CONSTRAINT fills_fee_check CHECK ((fee < 'Infinity'::numeric)),
    CONSTRAINT fills_price_check CHECK ((price < 'Infinity'::numeric)),
    CONSTRAINT fills_quantity_check CHECK (((quantity > (0)::numeric) AND (quantity < 'Infinity'::numeric))),
    CONSTRAINT fills_side_check CHECK ((side = ANY (ARRAY['buy'::text, 'sell'::text]))),
    CONSTRAINT fills_pkey PRIMARY KEY (broker_id, venue_fill_id)
);
CREATE INDEX fills_of_order ON public.fills USING btree (client_order_id, filled_at);

CREATE TABLE journal (
    sequence bigint GENERATED ALWAYS AS IDENTITY NOT NULL,
    at timestamp with time zone NOT NULL,
    kind text NOT NULL,
    task_id text,
    data jsonb NOT NULL,
    CONSTRAINT journal_pkey PRIMARY KEY (sequence)
);

CREATE TABLE kill_events (
    sequence bigint GENERATED ALWAYS AS IDENTITY NOT NULL,
    level text NOT NULL,
    cause text NOT NULL,
    broker_id text NOT NULL,
    by text NOT NULL,
    reason text NOT NULL,
    at timestamp with time zone NOT NULL,
    CONSTRAINT kill_events_by_check CHECK ((by <> ''::text)),
    CONSTRAINT kill_events_cause_check CHECK ((cause = ANY (ARRAY['command'::text, 'page'::text, 'file'::text, 'drawdown'::text, 'daily loss'::text]))),
    CONSTRAINT kill_events_level_check CHECK ((level = ANY (ARRAY['none'::text, 'pause'::text, 'flatten'::text, 'halt'::text]))),
    CONSTRAINT kill_events_pkey PRIMARY KEY (sequence)
);
CREATE INDEX kill_events_by_cause ON public.kill_events USING btree (cause, broker_id, sequence);

CREATE TABLE order_events (
    sequence bigint GENERATED ALWAYS AS IDENTITY NOT NULL,
    client_order_id text COLLATE "C" NOT NULL,
    from_state text NOT NULL,
    to_state text NOT NULL,
    cause text NOT NULL,
    at timestamp with time zone NOT NULL,
    CONSTRAINT order_events_to_state_check CHECK ((to_state <> ''::text)),
    CONSTRAINT order_events_pkey PRIMARY KEY (sequence)
);
CREATE INDEX order_events_of_order ON public.order_events USING btree (client_order_id, sequence);

CREATE TABLE orders (
    client_order_id text COLLATE "C" NOT NULL,
    position_id text COLLATE "C" NOT NULL,
    signal_id text COLLATE "C",
    task_id text NOT NULL,
    broker_id text NOT NULL,
    symbol text NOT NULL,
    role text NOT NULL,
    side text NOT NULL,
    kind text NOT NULL,
    quantity numeric NOT NULL,
    price numeric,
    state text NOT NULL,
    reason text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    venue_order_id text,
    filled_quantity numeric NOT NULL,
    filled_price numeric,
    CONSTRAINT orders_filled_price_check CHECK ((filled_price < 'Infinity'::numeric)),
    CONSTRAINT orders_filled_quantity_check CHECK (((filled_quantity >= (0)::numeric) AND (filled_quantity < 'Infinity'::numeric))),
    CONSTRAINT orders_kind_check CHECK ((kind = ANY (ARRAY['market'::text, 'limit'::text, 'stop'::text]))),
    CONSTRAINT orders_price_check CHECK ((price < 'Infinity'::numeric)),
    CONSTRAINT orders_quantity_check CHECK (((quantity > (0)::numeric) AND (quantity < 'Infinity'::numeric))),
    CONSTRAINT orders_role_check CHECK ((role = ANY (ARRAY['entry'::text, 'stop'::text, 'exit'::text]))),
    CONSTRAINT orders_side_check CHECK ((side = ANY (ARRAY['buy'::text, 'sell'::text]))),
    CONSTRAINT orders_state_check CHECK ((state = ANY (ARRAY['INTENT'::text, 'SENDING'::text, 'UNKNOWN'::text, 'WORKING'::text, 'TRIGGERED'::text, 'PARTIAL'::text, 'REPLACE_PENDING'::text, 'CANCEL_PENDING'::text, 'FILLED'::text, 'CANCELED'::text, 'EXPIRED'::text, 'REJECTED'::text, 'DENIED'::text, 'NOT_PLACED'::text]))),
    CONSTRAINT orders_pkey PRIMARY KEY (client_order_id)
);
CREATE INDEX orders_newest ON public.orders USING btree (created_at DESC, client_order_id DESC);
CREATE INDEX orders_not_placed ON public.orders USING btree (broker_id, updated_at, client_order_id) WHERE (state = 'NOT_PLACED'::text);
CREATE INDEX orders_of_position ON public.orders USING btree (position_id, created_at, client_order_id);
CREATE UNIQUE INDEX orders_one_entry_per_signal ON public.orders USING btree (signal_id) WHERE (role = 'entry'::text);
CREATE INDEX orders_unfinished ON public.orders USING btree (created_at, client_order_id) WHERE (state = ANY (ARRAY['INTENT'::text, 'SENDING'::text, 'UNKNOWN'::text, 'WORKING'::text, 'TRIGGERED'::text, 'PARTIAL'::text, 'REPLACE_PENDING'::text, 'CANCEL_PENDING'::text]));

CREATE TABLE outcomes (
    signal_id text COLLATE "C" NOT NULL,
    symbol text NOT NULL,
    timeframe text NOT NULL,
    direction text NOT NULL,
    accepted boolean NOT NULL,
    paid numeric NOT NULL,
    stop numeric NOT NULL,
    target numeric NOT NULL,
    started_at timestamp with time zone NOT NULL,
    followed_until timestamp with time zone NOT NULL,
    candles integer NOT NULL,
    checkpoints jsonb NOT NULL,
    mfe_r double precision NOT NULL,
    mae_r double precision NOT NULL,
    verdict text NOT NULL,
    r double precision,
    done boolean NOT NULL,
    CONSTRAINT outcomes_candles_check CHECK ((candles >= 0)),
    CONSTRAINT outcomes_direction_check CHECK ((direction = ANY (ARRAY['long'::text, 'short'::text]))),
    CONSTRAINT outcomes_paid_check CHECK ((paid < 'Infinity'::numeric)),
    CONSTRAINT outcomes_stop_check CHECK ((stop < 'Infinity'::numeric)),
    CONSTRAINT outcomes_target_check CHECK ((target < 'Infinity'::numeric)),
    CONSTRAINT outcomes_verdict_check CHECK ((verdict = ANY (ARRAY['open'::text, 'target_hit'::text, 'stop_hit'::text, 'neither'::text]))),
    CONSTRAINT outcomes_pkey PRIMARY KEY (signal_id)
);
CREATE INDEX outcomes_newest ON public.outcomes USING btree (started_at DESC, signal_id DESC);
CREATE INDEX outcomes_unfinished ON public.outcomes USING btree (started_at, signal_id) WHERE (NOT done);

CREATE TABLE portfolio_snapshots (
    sequence bigint GENERATED ALWAYS AS IDENTITY NOT NULL,
    at timestamp with time zone NOT NULL,
    equity numeric NOT NULL,
    balance numeric NOT NULL,
    open_positions integer NOT NULL,
    peak numeric NOT NULL,
    CONSTRAINT portfolio_snapshots_balance_check CHECK ((balance < 'Infinity'::numeric)),
    CONSTRAINT portfolio_snapshots_equity_check CHECK ((equity < 'Infinity'::numeric)),
    CONSTRAINT portfolio_snapshots_open_positions_check CHECK ((open_positions >= 0)),
    CONSTRAINT portfolio_snapshots_peak_check CHECK ((peak < 'Infinity'::numeric)),
    CONSTRAINT portfolio_snapshots_pkey PRIMARY KEY (sequence)
);
CREATE INDEX portfolio_snapshots_by_time ON public.portfolio_snapshots USING btree (at, sequence);

CREATE TABLE positions (
    id text COLLATE "C" NOT NULL,
    task_id text NOT NULL,
    signal_id text COLLATE "C" NOT NULL,
    strategy text NOT NULL,
    broker_id text NOT NULL,
    symbol text NOT NULL,
    direction text NOT NULL,
    plan jsonb NOT NULL,
    entry_order_id text COLLATE "C" NOT NULL,
    stop_order_id text COLLATE "C" NOT NULL,
    first_quantity numeric NOT NULL,
    quantity numeric NOT NULL,
    entry_price numeric NOT NULL,
    stop_price numeric NOT NULL,
    exit_price numeric,
    closed_quantity numeric NOT NULL,
    realised numeric NOT NULL,
    fees numeric NOT NULL,
    risk_amount numeric NOT NULL,
    targets_hit integer NOT NULL,
    best_price numeric NOT NULL,
    worst_price numeric NOT NULL,
    mark_price numeric NOT NULL,
    break_even boolean NOT NULL,
    is_trailing boolean NOT NULL,
    value_per_point numeric NOT NULL,
    opened_at timestamp with time zone NOT NULL,
    closed_at timestamp with time zone,
    exit_reason text NOT NULL,
    CONSTRAINT positions_best_price_check CHECK ((best_price < 'Infinity'::numeric)),
    CONSTRAINT positions_closed_quantity_check CHECK (((closed_quantity >= (0)::numeric) AND (closed_quantity < 'Infinity'::numeric))),
    CONSTRAINT positions_direction_check CHECK ((direction = ANY (ARRAY['long'::text, 'short'::text]))),
    CONSTRAINT positions_entry_price_check CHECK ((entry_price < 'Infinity'::numeric)),
    CONSTRAINT positions_exit_price_check CHECK ((exit_price < 'Infinity'::numeric)),
    CONSTRAINT positions_fees_check CHECK ((fees < 'Infinity'::numeric)),
    CONSTRAINT positions_first_quantity_check CHECK (((first_quantity >= (0)::numeric) AND (first_quantity < 'Infinity'::numeric))),
    CONSTRAINT positions_mark_price_check CHECK ((mark_price < 'Infinity'::numeric)),
    CONSTRAINT positions_quantity_check CHECK (((quantity >= (0)::numeric) AND (quantity < 'Infinity'::numeric))),
    CONSTRAINT positions_realised_check CHECK ((realised < 'Infinity'::numeric)),
    CONSTRAINT positions_risk_amount_check CHECK (((risk_amount >= (0)::numeric) AND (risk_amount < 'Infinity'::numeric))),
    CONSTRAINT positions_stop_price_check CHECK ((stop_price < 'Infinity'::numeric)),
    CONSTRAINT positions_targets_hit_check CHECK ((targets_hit >= 0)),
    CONSTRAINT positions_value_per_point_check CHECK (((value_per_point >= (0)::numeric) AND (value_per_point < 'Infinity'::numeric))),
    CONSTRAINT positions_worst_price_check CHECK ((worst_price < 'Infinity'::numeric)),
    CONSTRAINT positions_pkey PRIMARY KEY (id)
);
CREATE INDEX positions_closed ON public.positions USING btree (closed_at DESC, id DESC) WHERE ((closed_at IS NOT NULL) AND (first_quantity > (0)::numeric));
CREATE INDEX positions_closed_of_broker ON public.positions USING btree (broker_id, closed_at) WHERE ((closed_at IS NOT NULL) AND (first_quantity > (0)::numeric));
CREATE INDEX positions_open ON public.positions USING btree (opened_at, id) WHERE (closed_at IS NULL);

CREATE TABLE schema_migrations (
    number integer NOT NULL,
    name text NOT NULL,
    checksum text NOT NULL,
    applied_at timestamp with time zone NOT NULL,
    CONSTRAINT schema_migrations_pkey PRIMARY KEY (number)
);

CREATE TABLE setups (
    signal_id text COLLATE "C" NOT NULL,
    task_id text NOT NULL,
    symbol text NOT NULL,
    direction text NOT NULL,
    stop numeric NOT NULL,
    created_at timestamp with time zone NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    ended_as text NOT NULL,
    ended_at timestamp with time zone,
    CONSTRAINT setups_check CHECK (((ended_as = ''::text) = (ended_at IS NULL))),
    CONSTRAINT setups_direction_check CHECK ((direction = ANY (ARRAY['long'::text, 'short'::text]))),
    CONSTRAINT setups_stop_check CHECK ((stop < 'Infinity'::numeric)),
    CONSTRAINT setups_pkey PRIMARY KEY (signal_id)
);
CREATE INDEX setups_newest ON public.setups USING btree (created_at DESC, signal_id DESC);
CREATE UNIQUE INDEX setups_one_live_per_symbol ON public.setups USING btree (symbol) WHERE (ended_at IS NULL);

CREATE TABLE signal_findings (
    signal_id text COLLATE "C" NOT NULL,
    ordinal integer NOT NULL,
    code text NOT NULL,
    name text NOT NULL,
    status text NOT NULL,
    measured double precision,
    measured_text text,
    limit_text text NOT NULL,
    CONSTRAINT signal_findings_check CHECK (((measured IS NULL) OR (measured_text IS NULL))),
    CONSTRAINT signal_findings_ordinal_check CHECK ((ordinal >= 0)),
    CONSTRAINT signal_findings_status_check CHECK ((status = ANY (ARRAY['pass'::text, 'fail'::text, 'off'::text, 'n/a'::text]))),
    CONSTRAINT signal_findings_pkey PRIMARY KEY (signal_id, ordinal)
);

CREATE TABLE signals (
    id text COLLATE "C" NOT NULL,
    task_id text NOT NULL,
    strategy text NOT NULL,
    broker_id text NOT NULL,
    symbol text NOT NULL,
    timeframe text NOT NULL,
    candle_closed_at timestamp with time zone NOT NULL,
    direction text,
    entry numeric,
    stop_loss numeric,
    targets jsonb NOT NULL,
    confidence double precision NOT NULL,
    claim jsonb,
    analyst text NOT NULL,
    score double precision NOT NULL,
    status text NOT NULL,
    rejected_by text NOT NULL,
    reason text NOT NULL,
    decided_at timestamp with time zone NOT NULL,
    CONSTRAINT signals_direction_check CHECK ((direction = ANY (ARRAY['long'::text, 'short'::text]))),
    CONSTRAINT signals_status_check CHECK ((status <> ''::text)),
    CONSTRAINT signals_pkey PRIMARY KEY (id)
);
CREATE INDEX signals_by_status ON public.signals USING btree (status);
CREATE INDEX signals_newest ON public.signals USING btree (decided_at DESC, id DESC);

CREATE TABLE strategy_tasks (
    id text COLLATE "C" NOT NULL,
    strategy text NOT NULL,
    broker_id text NOT NULL,
    symbol text NOT NULL,
    timeframe text NOT NULL,
    parameters jsonb NOT NULL,
    state text NOT NULL,
    last_judged_at timestamp with time zone,
    CONSTRAINT strategy_tasks_state_check CHECK ((state = ANY (ARRAY['running'::text, 'paused'::text, 'stopped'::text]))),
    CONSTRAINT strategy_tasks_pkey PRIMARY KEY (id)
);

CREATE TABLE writer (
    id integer NOT NULL DEFAULT 1,
    epoch bigint NOT NULL,
    CONSTRAINT writer_id_check CHECK ((id = 1)),
    CONSTRAINT writer_pkey PRIMARY KEY (id)
);

ALTER TABLE fills ADD CONSTRAINT fills_client_order_id_fkey FOREIGN KEY (client_order_id) REFERENCES orders(client_order_id);

ALTER TABLE order_events ADD CONSTRAINT order_events_client_order_id_fkey FOREIGN KEY (client_order_id) REFERENCES orders(client_order_id);

ALTER TABLE positions ADD CONSTRAINT positions_entry_order_id_fkey FOREIGN KEY (entry_order_id) REFERENCES orders(client_order_id);

ALTER TABLE signal_findings ADD CONSTRAINT signal_findings_signal_id_fkey FOREIGN KEY (signal_id) REFERENCES signals(id) ON DELETE CASCADE;

CREATE OR REPLACE FUNCTION public.refuse_change()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
    RAISE EXCEPTION 'table % is append-only: % is refused; add a row that corrects it', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'integrity_constraint_violation';
END
$function$;

CREATE OR REPLACE FUNCTION public.tell_of_kill()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
    PERFORM pg_notify('kill_events', NEW.level);
    RETURN NULL;
END
$function$;

CREATE TRIGGER fills_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON public.fills FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TRIGGER journal_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON public.journal FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TRIGGER kill_events_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON public.kill_events FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER kill_events_told AFTER INSERT ON public.kill_events FOR EACH ROW EXECUTE FUNCTION tell_of_kill();

CREATE TRIGGER order_events_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON public.order_events FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
