-- Depth 0 is a statement that somebody typed; a log row writes letters from inside a trigger.
CREATE OR REPLACE TRIGGER dead_letters_guard BEFORE INSERT OR UPDATE ON dead_letters
    FOR EACH STATEMENT WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION dead_letters_guard();
CREATE OR REPLACE TRIGGER dead_letters_guard_removal BEFORE DELETE OR TRUNCATE ON dead_letters
    FOR EACH STATEMENT EXECUTE FUNCTION dead_letters_guard();
