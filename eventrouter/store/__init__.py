"""The only speaker of SQL: everything that is read from or written to Postgres goes through here."""
