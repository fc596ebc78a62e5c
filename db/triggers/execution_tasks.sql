CREATE OR REPLACE TRIGGER execution_tasks_seed BEFORE INSERT ON execution_tasks
    FOR EACH ROW EXECUTE FUNCTION execution_tasks_seed();
CREATE OR REPLACE TRIGGER execution_tasks_born AFTER INSERT ON execution_tasks
    REFERENCING NEW TABLE AS born FOR EACH STATEMENT EXECUTE FUNCTION execution_tasks_born();
CREATE OR REPLACE TRIGGER execution_tasks_notify AFTER INSERT ON execution_tasks
    FOR EACH STATEMENT EXECUTE FUNCTION execution_tasks_notify();
-- Depth 0 is a statement that somebody typed; the fold of a log row updates from inside a trigger.
CREATE OR REPLACE TRIGGER execution_tasks_guard_update BEFORE UPDATE ON execution_tasks
    FOR EACH STATEMENT WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION execution_tasks_guard();
CREATE OR REPLACE TRIGGER execution_tasks_prove AFTER UPDATE ON execution_tasks
    REFERENCING NEW TABLE AS moved FOR EACH STATEMENT EXECUTE FUNCTION execution_tasks_prove();
CREATE OR REPLACE TRIGGER execution_tasks_guard_delete BEFORE DELETE ON execution_tasks
    FOR EACH STATEMENT EXECUTE FUNCTION execution_tasks_guard();
CREATE OR REPLACE TRIGGER execution_tasks_guard_truncate BEFORE TRUNCATE ON execution_tasks
    FOR EACH STATEMENT EXECUTE FUNCTION execution_tasks_guard();
