-- Functions that take the plan as well; a function with other arguments would stand beside the old one.
DROP FUNCTION IF EXISTS ingest_signals(
    UUID[], TEXT[], TEXT[], TEXT[], TEXT[], TEXT[], TEXT[], TEXT[], BYTEA[], TEXT[], TEXT[], TEXT[], TEXT[], TIMESTAMPTZ[],
    TIMESTAMPTZ[], UUID[], UUID[], TEXT[], TEXT[], TEXT[], TEXT[], FLOAT8[], TEXT[], TEXT[], TEXT[], TEXT[], NUMERIC[],
    TIMESTAMPTZ[], TIMESTAMPTZ[], TIMESTAMPTZ[], UUID[], TEXT[], BYTEA[]);
DROP FUNCTION IF EXISTS route_task(BIGINT, TEXT, TEXT[], FLOAT8);
