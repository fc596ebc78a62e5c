CREATE OR REPLACE TRIGGER execution_logs_fold AFTER INSERT ON execution_logs
    REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION execution_logs_fold();
CREATE OR REPLACE TRIGGER execution_logs_guard BEFORE UPDATE OR DELETE OR TRUNCATE ON execution_logs
    FOR EACH STATEMENT EXECUTE FUNCTION execution_logs_guard();
CREATE OR REPLACE TRIGGER execution_logs_chain BEFORE INSERT ON execution_logs
    FOR EACH ROW EXECUTE FUNCTION execution_logs_chain();
-- Triggers of one kind run in the order of their names: this one after the fold.
CREATE OR REPLACE TRIGGER execution_logs_letters AFTER INSERT ON execution_logs
    REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION execution_logs_letters();
