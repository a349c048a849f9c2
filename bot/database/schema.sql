-- Made from the migrations by bot.database.schema.write_schema: do not edit.
-- A test compares it with a migrated database.

CREATE TABLE accounts (
    broker_id text NOT NULL,
    fingerprint text NOT NULL,
    account text NOT NULL,
    bound_at timestamp with time zone NOT NULL,
    CONSTRAINT accounts_fingerprint_check CHECK ((fingerprint <> ''::text)),
    CONSTRAINT accounts_pkey PRIMARY KEY (broker_id)
);

CREATE TABLE acts (
    who text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    fingerprint text NOT NULL,
    at timestamp with time zone NOT NULL,
    status integer,
    answer text NOT NULL,
    CONSTRAINT acts_pkey PRIMARY KEY (who, key)
);
CREATE INDEX acts_by_time ON public.acts USING btree (at);

CREATE TABLE alert_desk (
    only_row boolean NOT NULL DEFAULT true,
    newest_update bigint NOT NULL,
    muted_until timestamp with time zone,
    daily_digest_on date,
    weekly_digest_on date,
    CONSTRAINT alert_desk_only_row_check CHECK (only_row),
    CONSTRAINT alert_desk_pkey PRIMARY KEY (only_row)
);

CREATE TABLE alerts (
    id text COLLATE "C" NOT NULL,
    key text NOT NULL,
    severity text NOT NULL,
    title text NOT NULL,
    body text NOT NULL,
    lasts boolean NOT NULL,
    raised_at timestamp with time zone NOT NULL,
    last_at timestamp with time zone NOT NULL,
    count bigint NOT NULL,
    resolved_at timestamp with time zone,
    acked_at timestamp with time zone,
    acked_by text NOT NULL,
    deliveries jsonb NOT NULL,
    CONSTRAINT alerts_check CHECK ((last_at >= raised_at)),
    CONSTRAINT alerts_check1 CHECK (((acked_by = ''::text) = (acked_at IS NULL))),
    CONSTRAINT alerts_count_check CHECK ((count >= 1)),
    CONSTRAINT alerts_key_check CHECK ((key <> ''::text)),
    CONSTRAINT alerts_severity_check CHECK ((severity = ANY (ARRAY['info'::text, 'warning'::text, 'critical'::text]))),
    CONSTRAINT alerts_pkey PRIMARY KEY (id)
);
CREATE INDEX alerts_by_time ON public.alerts USING btree (raised_at);
CREATE INDEX alerts_by_use ON public.alerts USING btree (last_at);
CREATE INDEX alerts_lasting ON public.alerts USING btree (raised_at) WHERE (lasts AND (resolved_at IS NULL));
CREATE INDEX alerts_waiting ON public.alerts USING btree (raised_at) WHERE ((severity = 'critical'::text) AND (resolved_at IS NULL) AND (acked_at IS NULL));

CREATE TABLE analyst_calls (
    number bigint GENERATED ALWAYS AS IDENTITY NOT NULL,
    key text NOT NULL,
    model text NOT NULL,
    at timestamp with time zone NOT NULL,
    symbol text NOT NULL,
    signal_id text NOT NULL,
    attempt integer NOT NULL,
    state text NOT NULL,
    reserved numeric NOT NULL,
    counted numeric NOT NULL,
    cost numeric NOT NULL,
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
    origin text NOT NULL,
    CONSTRAINT analyst_calls_attempt_check CHECK ((attempt >= 1)),
    CONSTRAINT analyst_calls_cost_check CHECK (((cost >= (0)::numeric) AND (cost < 'Infinity'::numeric))),
    CONSTRAINT analyst_calls_counted_check CHECK (((counted >= (0)::numeric) AND (counted < 'Infinity'::numeric))),
    CONSTRAINT analyst_calls_origin_check CHECK ((origin <> ''::text)),
    CONSTRAINT analyst_calls_reserved_check CHECK (((reserved >= (0)::numeric) AND (reserved < 'Infinity'::numeric))),
    CONSTRAINT analyst_calls_state_check CHECK ((state = ANY (ARRAY['reserved'::text, 'settled'::text, 'unknown'::text, 'imported'::text]))),
    CONSTRAINT analyst_calls_pkey PRIMARY KEY (number)
);
CREATE INDEX analyst_calls_answered ON public.analyst_calls USING btree (key, model, number) WHERE (outcome = 'answered'::text);
CREATE INDEX analyst_calls_by_time ON public.analyst_calls USING btree (at);
CREATE INDEX analyst_calls_of_signal ON public.analyst_calls USING btree (signal_id) WHERE (signal_id <> ''::text);

CREATE TABLE analyst_gates (
    number bigint GENERATED ALWAYS AS IDENTITY NOT NULL,
    model text COLLATE "C" NOT NULL,
    may_decide boolean NOT NULL,
    confidence_counts boolean NOT NULL,
    by text NOT NULL,
    says text NOT NULL,
    at timestamp with time zone NOT NULL,
    CONSTRAINT analyst_gates_by_check CHECK ((by <> ''::text)),
    CONSTRAINT analyst_gates_check CHECK ((may_decide OR (NOT confidence_counts))),
    CONSTRAINT analyst_gates_model_check CHECK ((model <> ''::text)),
    CONSTRAINT analyst_gates_pkey PRIMARY KEY (number)
);
CREATE INDEX analyst_gates_newest ON public.analyst_gates USING btree (model, number DESC);

CREATE TABLE analyst_opinions (
    task_id text COLLATE "C" NOT NULL,
    candle_closed_at timestamp with time zone NOT NULL,
    symbol text NOT NULL,
    timeframe text NOT NULL,
    at timestamp with time zone NOT NULL,
    rung text NOT NULL,
    effect text NOT NULL,
    lets_enter boolean NOT NULL,
    why text NOT NULL,
    model text NOT NULL,
    sent text NOT NULL,
    said jsonb,
    direction text,
    confidence double precision,
    fault text NOT NULL,
    untrue jsonb NOT NULL,
    struck_out jsonb NOT NULL,
    steps jsonb NOT NULL,
    usage jsonb NOT NULL,
    latency_s double precision NOT NULL,
    request_key text NOT NULL,
    origin text NOT NULL,
    CONSTRAINT analyst_opinions_confidence_check CHECK (((confidence >= (0)::double precision) AND (confidence <= (1)::double precision))),
    CONSTRAINT analyst_opinions_direction_check CHECK ((direction = ANY (ARRAY['long'::text, 'short'::text]))),
    CONSTRAINT analyst_opinions_pkey PRIMARY KEY (task_id, candle_closed_at)
);
CREATE INDEX analyst_opinions_entered ON public.analyst_opinions USING btree (at) WHERE lets_enter;
CREATE INDEX analyst_opinions_newest ON public.analyst_opinions USING btree (at DESC, task_id DESC);

CREATE TABLE analyst_spending (
    hour timestamp with time zone NOT NULL,
    counted numeric NOT NULL,
    CONSTRAINT analyst_spending_pkey PRIMARY KEY (hour)
);

CREATE TABLE api_tokens (
    id text COLLATE "C" NOT NULL,
    digest bytea NOT NULL,
    user_name text COLLATE "C" NOT NULL,
    label text NOT NULL,
    scopes text[] NOT NULL,
    created_at timestamp with time zone NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    revoked_at timestamp with time zone,
    used_at timestamp with time zone,
    CONSTRAINT api_tokens_check CHECK ((expires_at > created_at)),
    CONSTRAINT api_tokens_scopes_check CHECK (((scopes <@ ARRAY['read'::text, 'kill'::text, 'trade'::text, 'admin'::text]) AND (cardinality(scopes) >= 1))),
    CONSTRAINT api_tokens_pkey PRIMARY KEY (id)
);
CREATE INDEX api_tokens_newest ON public.api_tokens USING btree (created_at, id);

CREATE TABLE audit_log (
    number bigint GENERATED ALWAYS AS IDENTITY NOT NULL,
    at timestamp with time zone NOT NULL,
    who text NOT NULL,
    how text NOT NULL,
    address text NOT NULL,
    what text NOT NULL,
    detail text NOT NULL,
    result text NOT NULL,
    CONSTRAINT audit_log_result_check CHECK ((result = ANY (ARRAY['ok'::text, 'refused'::text, 'failed'::text]))),
    CONSTRAINT audit_log_pkey PRIMARY KEY (number)
);
CREATE INDEX audit_log_by_what ON public.audit_log USING btree (what, number);
CREATE INDEX audit_log_by_who ON public.audit_log USING btree (who, number);

CREATE TABLE equity_hours (
    hour timestamp with time zone NOT NULL,
    at timestamp with time zone NOT NULL,
    fall numeric NOT NULL,
    peak numeric NOT NULL,
    CONSTRAINT equity_hours_pkey PRIMARY KEY (hour)
);

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
    withheld numeric NOT NULL DEFAULT 0,
    CONSTRAINT fills_check CHECK (((withheld >= (0)::numeric) AND (withheld <= quantity))),
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
CREATE INDEX journal_of_order ON public.journal USING btree (((data ->> 'order'::text))) WHERE ((data ->> 'order'::text) IS NOT NULL);
CREATE INDEX journal_of_position ON public.journal USING btree (((data ->> 'position'::text))) WHERE ((data ->> 'position'::text) IS NOT NULL);

CREATE TABLE kill_events (
    sequence bigint GENERATED ALWAYS AS IDENTITY NOT NULL,
    level text NOT NULL,
    cause text NOT NULL,
    broker_id text NOT NULL,
    by text NOT NULL,
    reason text NOT NULL,
    at timestamp with time zone NOT NULL,
    CONSTRAINT kill_events_by_check CHECK ((by <> ''::text)),
    CONSTRAINT kill_events_cause_check CHECK ((cause = ANY (ARRAY['command'::text, 'page'::text, 'file'::text, 'telegram'::text, 'api'::text, 'drawdown'::text, 'daily loss'::text]))),
    CONSTRAINT kill_events_level_check CHECK ((level = ANY (ARRAY['none'::text, 'pause'::text, 'flatten'::text, 'halt'::text]))),
    CONSTRAINT kill_events_pkey PRIMARY KEY (sequence)
);
CREATE INDEX kill_events_by_cause ON public.kill_events USING btree (cause, broker_id, sequence);

CREATE TABLE login_failures (
    key text COLLATE "C" NOT NULL,
    count bigint NOT NULL,
    at timestamp with time zone NOT NULL,
    CONSTRAINT login_failures_count_check CHECK ((count >= 1)),
    CONSTRAINT login_failures_pkey PRIMARY KEY (key)
);
CREATE INDEX login_failures_by_time ON public.login_failures USING btree (at);

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
    accounts jsonb NOT NULL DEFAULT '[]'::jsonb,
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
CREATE INDEX positions_closed_of_symbol ON public.positions USING btree (symbol, closed_at DESC, id DESC) WHERE ((closed_at IS NOT NULL) AND (first_quantity > (0)::numeric));
CREATE INDEX positions_open ON public.positions USING btree (opened_at, id) WHERE (closed_at IS NULL);

CREATE TABLE reconcile_answers (
    number bigint GENERATED ALWAYS AS IDENTITY NOT NULL,
    broker_id text NOT NULL,
    difference_id text NOT NULL,
    fingerprint text COLLATE "C" NOT NULL,
    kind text NOT NULL,
    about text NOT NULL,
    subject text NOT NULL,
    says text NOT NULL,
    by text NOT NULL,
    at timestamp with time zone NOT NULL,
    state text NOT NULL,
    outcome text NOT NULL,
    ended_at timestamp with time zone,
    CONSTRAINT reconcile_answers_by_check CHECK ((by <> ''::text)),
    CONSTRAINT reconcile_answers_check CHECK (((ended_at IS NULL) = (state = ANY (ARRAY['given'::text, 'begun'::text])))),
    CONSTRAINT reconcile_answers_kind_check CHECK ((kind = ANY (ARRAY['adopt'::text, 'ignore'::text, 'flatten'::text]))),
    CONSTRAINT reconcile_answers_state_check CHECK ((state = ANY (ARRAY['given'::text, 'begun'::text, 'done'::text, 'refused'::text]))),
    CONSTRAINT reconcile_answers_pkey PRIMARY KEY (number)
);
CREATE INDEX reconcile_answers_done ON public.reconcile_answers USING btree (fingerprint, number) WHERE (state = 'done'::text);
CREATE UNIQUE INDEX reconcile_answers_unfinished ON public.reconcile_answers USING btree (fingerprint) WHERE (state = ANY (ARRAY['given'::text, 'begun'::text]));

CREATE TABLE recovery_codes (
    user_name text COLLATE "C" NOT NULL,
    digest bytea NOT NULL,
    used_at timestamp with time zone,
    CONSTRAINT recovery_codes_pkey PRIMARY KEY (user_name, digest)
);

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

CREATE TABLE signal_counts (
    month timestamp with time zone NOT NULL,
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
    CONSTRAINT signal_counts_pkey PRIMARY KEY (month, status, stopped_by, symbol, broker_id, strategy, timeframe)
);

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
CREATE INDEX signals_newest ON public.signals USING btree (decided_at DESC, id DESC);
CREATE INDEX signals_of_status ON public.signals USING btree (status, decided_at DESC, id DESC);
CREATE INDEX signals_of_stop ON public.signals USING btree ((
CASE status
    WHEN 'refused'::text THEN split_part(reason, ':'::text, 1)
    ELSE rejected_by
END), decided_at DESC, id DESC);
CREATE INDEX signals_of_symbol ON public.signals USING btree (symbol, decided_at DESC, id DESC);

CREATE TABLE strategy_tasks (
    id text COLLATE "C" NOT NULL,
    strategy text NOT NULL,
    broker_id text NOT NULL,
    symbol text NOT NULL,
    timeframe text NOT NULL,
    parameters jsonb NOT NULL,
    state text NOT NULL,
    CONSTRAINT strategy_tasks_state_check CHECK ((state = ANY (ARRAY['running'::text, 'paused'::text, 'stopped'::text]))),
    CONSTRAINT strategy_tasks_pkey PRIMARY KEY (id)
);

CREATE TABLE trade_facts (
    position_id text COLLATE "C" NOT NULL,
    closed_at timestamp with time zone NOT NULL,
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
    r double precision,
    CONSTRAINT trade_facts_pkey PRIMARY KEY (position_id)
);
CREATE INDEX trade_facts_in_order ON public.trade_facts USING btree (closed_at, position_id);

CREATE TABLE user_sessions (
    digest bytea NOT NULL,
    id text COLLATE "C" NOT NULL,
    user_name text COLLATE "C" NOT NULL,
    opened_at timestamp with time zone NOT NULL,
    used_at timestamp with time zone NOT NULL,
    stepped_up_at timestamp with time zone,
    address text NOT NULL,
    agent text NOT NULL,
    CONSTRAINT user_sessions_pkey PRIMARY KEY (digest),
    CONSTRAINT user_sessions_id_key UNIQUE (id)
);
CREATE INDEX user_sessions_of_user ON public.user_sessions USING btree (user_name, opened_at);

CREATE TABLE users (
    name text COLLATE "C" NOT NULL,
    role text NOT NULL,
    password_hash text NOT NULL,
    must_change boolean NOT NULL,
    created_at timestamp with time zone NOT NULL,
    password_at timestamp with time zone NOT NULL,
    disabled_at timestamp with time zone,
    sealed_seed bytea,
    seeded_by text NOT NULL,
    newest_step bigint NOT NULL DEFAULT 0,
    CONSTRAINT users_name_check CHECK ((name <> ''::text)),
    CONSTRAINT users_password_hash_check CHECK ((password_hash <> ''::text)),
    CONSTRAINT users_role_check CHECK ((role = ANY (ARRAY['viewer'::text, 'operator'::text, 'admin'::text]))),
    CONSTRAINT users_pkey PRIMARY KEY (name)
);

CREATE TABLE writer (
    id integer NOT NULL DEFAULT 1,
    epoch bigint NOT NULL,
    CONSTRAINT writer_id_check CHECK ((id = 1)),
    CONSTRAINT writer_pkey PRIMARY KEY (id)
);

ALTER TABLE api_tokens ADD CONSTRAINT api_tokens_user_name_fkey FOREIGN KEY (user_name) REFERENCES users(name);

ALTER TABLE fills ADD CONSTRAINT fills_client_order_id_fkey FOREIGN KEY (client_order_id) REFERENCES orders(client_order_id);

ALTER TABLE order_events ADD CONSTRAINT order_events_client_order_id_fkey FOREIGN KEY (client_order_id) REFERENCES orders(client_order_id);

ALTER TABLE positions ADD CONSTRAINT positions_entry_order_id_fkey FOREIGN KEY (entry_order_id) REFERENCES orders(client_order_id);

ALTER TABLE recovery_codes ADD CONSTRAINT recovery_codes_user_name_fkey FOREIGN KEY (user_name) REFERENCES users(name);

ALTER TABLE signal_findings ADD CONSTRAINT signal_findings_signal_id_fkey FOREIGN KEY (signal_id) REFERENCES signals(id) ON DELETE CASCADE;

ALTER TABLE trade_facts ADD CONSTRAINT trade_facts_position_id_fkey FOREIGN KEY (position_id) REFERENCES positions(id) ON DELETE CASCADE;

ALTER TABLE user_sessions ADD CONSTRAINT user_sessions_user_name_fkey FOREIGN KEY (user_name) REFERENCES users(name);

CREATE OR REPLACE FUNCTION public.count_analyst_call()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
    INSERT INTO analyst_spending AS spending (hour, counted)
    VALUES (date_trunc('hour', new.at, 'UTC'), new.counted - CASE TG_OP WHEN 'UPDATE' THEN old.counted ELSE 0 END)
    ON CONFLICT (hour) DO UPDATE SET counted = spending.counted + excluded.counted;
    RETURN NULL;
END
$function$;

CREATE OR REPLACE FUNCTION public.count_signal()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
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
$function$;

CREATE OR REPLACE FUNCTION public.note_equity()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
    INSERT INTO equity_hours AS hours (hour, at, fall, peak)
    VALUES (date_trunc('hour', new.at, 'UTC'), new.at, new.peak - new.equity, new.peak)
    ON CONFLICT (hour) DO UPDATE SET
        at = greatest(hours.at, excluded.at),
        fall = greatest(hours.fall, excluded.fall),
        peak = greatest(hours.peak, excluded.peak);
    RETURN NULL;
END
$function$;

CREATE OR REPLACE FUNCTION public.note_trade()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
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
$function$;

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

CREATE TRIGGER analyst_calls_counted AFTER INSERT OR UPDATE OF counted ON public.analyst_calls FOR EACH ROW EXECUTE FUNCTION count_analyst_call();

CREATE TRIGGER analyst_gates_kept BEFORE DELETE OR UPDATE OR TRUNCATE ON public.analyst_gates FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TRIGGER analyst_opinions_kept BEFORE DELETE OR UPDATE OR TRUNCATE ON public.analyst_opinions FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TRIGGER audit_log_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON public.audit_log FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TRIGGER fills_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON public.fills FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TRIGGER journal_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON public.journal FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TRIGGER kill_events_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON public.kill_events FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER kill_events_told AFTER INSERT ON public.kill_events FOR EACH ROW EXECUTE FUNCTION tell_of_kill();

CREATE TRIGGER order_events_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON public.order_events FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TRIGGER outcomes_changed_counted AFTER UPDATE ON public.outcomes FOR EACH ROW WHEN ((((old.verdict <> 'open'::text) OR (new.verdict <> 'open'::text)) AND ((old.verdict IS DISTINCT FROM new.verdict) OR (old.r IS DISTINCT FROM new.r)))) EXECUTE FUNCTION count_signal();
CREATE TRIGGER outcomes_counted AFTER INSERT ON public.outcomes FOR EACH ROW WHEN ((new.verdict <> 'open'::text)) EXECUTE FUNCTION count_signal();

CREATE TRIGGER portfolio_snapshots_noted AFTER INSERT ON public.portfolio_snapshots FOR EACH ROW EXECUTE FUNCTION note_equity();

CREATE TRIGGER positions_changed_noted AFTER UPDATE ON public.positions FOR EACH ROW WHEN (((new.closed_at IS NOT NULL) OR (old.closed_at IS NOT NULL))) EXECUTE FUNCTION note_trade();
CREATE TRIGGER positions_closed_noted AFTER INSERT ON public.positions FOR EACH ROW WHEN ((new.closed_at IS NOT NULL)) EXECUTE FUNCTION note_trade();

CREATE TRIGGER reconcile_answers_kept BEFORE DELETE OR TRUNCATE ON public.reconcile_answers FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TRIGGER signals_counted AFTER INSERT OR UPDATE ON public.signals FOR EACH ROW EXECUTE FUNCTION count_signal();
