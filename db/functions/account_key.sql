-- The advisory lock of an account: whoever records its fills, and whoever decides how much it may still open, takes it first.
CREATE OR REPLACE FUNCTION account_key(p_account TEXT) RETURNS BIGINT
LANGUAGE sql IMMUTABLE
SET search_path FROM CURRENT
RETURN hashtextextended('account:' || p_account, 0);
