-- BEFORE INSERT on execution_tasks: whatever the row says, a task starts PENDING with no attempts; lane, place,
-- mode and client order id are fixed here.
CREATE OR REPLACE FUNCTION execution_tasks_seed() RETURNS TRIGGER
LANGUAGE plpgsql SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
BEGIN
    NEW.event_type := upper(btrim(NEW.event_type));
    NEW.status := 'PENDING';
    NEW.attempts := 0;
    NEW.last_error := NULL;
    NEW.last_attempt_at := NULL;
    NEW.created_at := now();
    NEW.updated_at := NEW.created_at;
    NEW.run_at := NEW.created_at;
    NEW.version := 1;
    NEW.worker := NULL;
    NEW.lease_until := NULL;
    NEW.place := COALESCE(NEW.place, NEW.id);
    NEW.opening := NEW.event_type !~ '^(EXIT|CANCEL|REDUCE|MOVE_STOP|FLATTEN)';
    NEW.lane := NULL;
    NEW.client_order_id := NULL;
    IF NEW.account IS NOT NULL THEN
        NEW.lane := lane_of(NEW.account, NEW.payload ->> 'symbol', NEW.trade_id);
        NEW.client_order_id := draw_client_order_id();
        NEW.mode := COALESCE(account_mode(NEW.account), NEW.mode);  -- fixed from here on
    END IF;
    RETURN NEW;
END
$$;
