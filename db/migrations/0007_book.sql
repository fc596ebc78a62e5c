-- What a broker shows of an order names its task by the client order id. Nothing of a dry run is ever looked up that way.
CREATE INDEX execution_tasks_client_order ON execution_tasks (client_order_id) WHERE mode = 'live';
-- What of an account is the latest is asked with every look at its broker; a dry run has none.
CREATE INDEX fills_latest ON fills (account, filled_at DESC) WHERE mode = 'live';
