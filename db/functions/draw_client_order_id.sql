-- 100 random bits as 20 letters and digits (base32), short enough for every broker's field.
-- Bytes 6 and 8 of a random UUID carry its version and variant, so they are left out.
CREATE OR REPLACE FUNCTION draw_client_order_id() RETURNS TEXT
LANGUAGE plpgsql VOLATILE
SET search_path FROM CURRENT
AS $$
DECLARE
    v_bytes BYTEA := substr(uuid_send(gen_random_uuid()), 1, 6) || substr(uuid_send(gen_random_uuid()), 10, 7)
                  || substr(uuid_send(gen_random_uuid()), 10, 7);
    v_id    TEXT := '';
BEGIN
    FOR i IN 0..19 LOOP
        v_id := v_id || substr('abcdefghijklmnopqrstuvwxyz234567', (get_byte(v_bytes, i) & 31) + 1, 1);
    END LOOP;
    RETURN v_id;
END
$$;
