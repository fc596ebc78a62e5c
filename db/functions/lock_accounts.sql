-- Locks accounts and groups of one owner until the transaction ends, in the order of their names and waiting for whoever
-- has them: what is decided about two entries of one account, or of one owner, is decided one after the other.
CREATE OR REPLACE FUNCTION lock_accounts(p_accounts TEXT[], p_owners TEXT[]) RETURNS VOID
LANGUAGE plpgsql VOLATILE
SET search_path FROM CURRENT
AS $$
DECLARE
    v_key TEXT;
BEGIN
    FOR v_key IN
        SELECT 'account:' || a.name COLLATE "C" FROM unnest(p_accounts) AS a (name)
        UNION
        SELECT 'owner:' || o.name COLLATE "C" FROM unnest(p_owners) AS o (name)
        ORDER BY 1
    LOOP
        PERFORM pg_advisory_xact_lock(hashtextextended(v_key, 'account_log'::REGCLASS::OID::BIGINT));
    END LOOP;
END
$$;
