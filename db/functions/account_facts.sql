-- Locks these accounts and owners (see lock_accounts), and then says what an entry for one of them must know, as
-- read_account_facts() does. VOLATILE on purpose: the second statement has a snapshot taken after the locks, so it sees what the
-- last holder did.
CREATE OR REPLACE FUNCTION account_facts(
    p_accounts TEXT[], p_owners TEXT[], p_others TEXT[], p_roots TEXT[], p_mode TEXT
) RETURNS JSONB
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
BEGIN
    PERFORM lock_accounts(p_accounts, p_owners);
    RETURN read_account_facts(p_accounts, p_owners, p_others, p_roots, p_mode);
END
$$;
