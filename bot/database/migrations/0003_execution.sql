-- Orders presumed never placed are asked after for a day (late arrivals).
CREATE INDEX orders_not_placed ON orders (broker_id, updated_at, client_order_id) WHERE state = 'NOT_PLACED';

-- Who may write orders: one row, whose epoch every new writer raises. A writer whose epoch is old is refused.
CREATE TABLE writer (
    id integer PRIMARY KEY DEFAULT 1 CHECK (id = 1),
    epoch bigint NOT NULL
);
INSERT INTO writer (epoch) VALUES (0);
