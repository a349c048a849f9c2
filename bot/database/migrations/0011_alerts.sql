-- The page of alerts begins with what lasts; what waits for somebody has its index already.
CREATE INDEX alerts_lasting ON alerts (raised_at) WHERE lasts AND resolved_at IS NULL;
