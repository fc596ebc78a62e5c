-- How the brokers of accounts stand, as their routers say.

-- name: note_connections
SELECT note_connections(:router, :connection, :mode, :accounts, :states, :codes, :messages);

-- name: forget_connections
SELECT forget_connections(:router);

-- name: connections_of_accounts
SELECT k.account, k.router, k.connection, k.mode, k.state, k.code, k.message, k.since, k.seen_at, k.fresh
FROM unnest(:accounts::TEXT[]) AS a (name)
CROSS JOIN LATERAL connection_of(a.name) k;
