-- What the journal says about one position: entries that name it, or one of its orders.

CREATE INDEX journal_of_position ON journal ((data->>'position')) WHERE data->>'position' IS NOT NULL;
CREATE INDEX journal_of_order ON journal ((data->>'order')) WHERE data->>'order' IS NOT NULL;
