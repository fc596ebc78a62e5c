-- Locks accounts, and then groups of one owner, until the transaction ends, in the order of their names and waiting for whoever
-- has them: what is decided about two entries of one account, or of one owner, is decided one after the other.
CREATE OR REPLACE FUNCTION lock_accounts(p_accounts TEXT[], p_owners TEXT[]) RETURNS VOID
LANGUAGE plpgsql VOLATILE
SET search_path FROM CURRENT
AS $$
DECLARE
    v_name TEXT;
BEGIN
    FOR v_name IN SELECT DISTINCT a.name COLLATE "C" FROM unnest(p_accounts) AS a (name) ORDER BY 1 LOOP
        PERFORM pg_advisory_xact_lock(account_key(v_name));
    END LOOP;
    FOR v_name IN SELECT DISTINCT o.name COLLATE "C" FROM unnest(p_owners) AS o (name) ORDER BY 1 LOOP
        PERFORM pg_advisory_xact_lock(hashtextextended('owner:' || v_name, 0));
    END LOOP;
END
$$;
