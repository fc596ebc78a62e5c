CREATE OR REPLACE TRIGGER fills_hold AFTER INSERT ON fills FOR EACH ROW EXECUTE FUNCTION fills_hold();
CREATE OR REPLACE TRIGGER fills_guard BEFORE UPDATE OR DELETE OR TRUNCATE ON fills
    FOR EACH STATEMENT EXECUTE FUNCTION account_history_guard();
-- Depth 0 is a statement that somebody typed; a fill moves holdings from inside a trigger.
CREATE OR REPLACE TRIGGER holdings_guard BEFORE INSERT OR UPDATE ON holdings
    FOR EACH STATEMENT WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION account_history_guard();
CREATE OR REPLACE TRIGGER holdings_guard_removal BEFORE DELETE OR TRUNCATE ON holdings
    FOR EACH STATEMENT EXECUTE FUNCTION account_history_guard();
