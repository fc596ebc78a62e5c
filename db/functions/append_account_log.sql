-- Appends to the logs of accounts: a compare-and-set, since each row names the seq that its writer saw before it (p_seqs).
-- Rows of one account follow each other, in the order given. Returns how many were appended: fewer than were given means that
-- somebody else appended meanwhile, and the caller looks again. All arrays are of one length.
CREATE OR REPLACE FUNCTION append_account_log(
    p_actor TEXT, p_mode TEXT, p_accounts TEXT[], p_seqs INTEGER[], p_kinds TEXT[], p_messages TEXT[], p_details TEXT[], p_states TEXT[]
) RETURNS INTEGER
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
DECLARE
    v_appended INTEGER;
BEGIN
    INSERT INTO account_log (account, mode, seq, kind, actor, message, detail, state)
    SELECT e.account, p_mode, e.seq + 1, e.kind, p_actor, e.message, COALESCE(e.detail::JSONB, '{}'), e.state::JSONB
    FROM (SELECT u.*, min(u.seq) OVER (PARTITION BY u.account) AS first,
                 row_number() OVER (PARTITION BY u.account ORDER BY u.ord) - 1 AS place
          FROM unnest(p_accounts, p_seqs, p_kinds, p_messages, p_details, p_states) WITH ORDINALITY
               AS u (account, seq, kind, message, detail, state, ord)) e
    WHERE e.seq = e.first + e.place
      AND e.first = COALESCE((SELECT max(l.seq) FROM account_log l WHERE l.account = e.account COLLATE "C" AND l.mode = p_mode), 0)
    ORDER BY e.ord
    ON CONFLICT (account, mode, seq) DO NOTHING;
    GET DIAGNOSTICS v_appended = ROW_COUNT;
    RETURN v_appended;
END
$$;
