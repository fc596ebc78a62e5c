-- An entry that waits to be sent again, and that nobody may send any more, is no closed matter while its first order may be at the broker.
-- The transition table of eventrouter/domain/tasks.py; a test holds the two equal.
ALTER TABLE execution_logs
    DROP CONSTRAINT execution_logs_legal,
    ADD CONSTRAINT execution_logs_legal CHECK (
        COALESCE(prev_status, '') = status
        OR COALESCE(prev_status, '') || '>' || status IN (
            '>PENDING',
            'PENDING>HELD', 'PENDING>EXPIRED', 'PENDING>DENIED', 'PENDING>CANCELLED', 'PENDING>SENDING',
            'PENDING>ACCEPTED', 'PENDING>SUCCESS', 'PENDING>REVIEW',
            'HELD>PENDING', 'HELD>CANCELLED', 'HELD>EXPIRED',
            'SENDING>PENDING', 'SENDING>FAILED', 'SENDING>EXPIRED', 'SENDING>ACCEPTED', 'SENDING>SUCCESS', 'SENDING>UNKNOWN',
            'UNKNOWN>ACCEPTED', 'UNKNOWN>SUCCESS', 'UNKNOWN>FAILED', 'UNKNOWN>PENDING', 'UNKNOWN>REVIEW',
            'ACCEPTED>SUCCESS', 'ACCEPTED>CANCELLED', 'ACCEPTED>FAILED', 'ACCEPTED>UNKNOWN',
            'REVIEW>ACCEPTED', 'REVIEW>SUCCESS', 'REVIEW>PENDING', 'REVIEW>CANCELLED',
            'FAILED>PENDING', 'FAILED>CANCELLED', 'FAILED>SUCCESS'));
