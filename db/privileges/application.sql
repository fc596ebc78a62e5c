-- The application role reads, inserts the seed columns of execution_tasks, and calls the functions below. Nothing else.
-- Everything is taken away first, so that a grant removed here is gone there.
REVOKE ALL ON automated_signals, alert_windows, strategy_trades, strategy_tokens, product_families, execution_tasks, execution_logs, schema_migrations,
    settings, broker_orders, fills, holdings, account_log, last_prices, controls, seals, sealed_heads, dead_letters,
    notifications, notification_state,
    connection_states, desk_users, desk_sessions, desk_links, api_keys
    FROM eventrouter_app;
REVOKE ALL ON FUNCTION
    product_of, draw_client_order_id, account_key, account_mode, lane_of, active_lanes, trade_facts, trade_stands,
    trade_doubts, working_orders, order_is_shown, leaving, is_in_doubt, is_closed_before, is_superseded,
    execution_tasks_seed, execution_tasks_born, execution_tasks_notify, execution_tasks_guard, execution_tasks_prove,
    execution_logs_guard, execution_logs_fold, execution_logs_chain, account_log_chain, controls_chain, seals_guard, seal_history,
    strategy_of, set_control, controls_guard, trades_to_flatten, enqueue_flattening,
    halt_key, lock_accounts, account_facts, read_account_facts,
    append_log, lock_due_tasks, enqueue_execution_task, prepare_signals, ingest_signals, route_task, lock_unrouted_tasks, add_strategy_token,
    revoke_strategy_tokens, purge_alert_windows, publish_settings, fills_hold, account_history_guard, lock_books,
    append_account_log, record_fills, note_broker_orders, note_prices, enqueue_protection,
    execution_logs_letters, dead_letters_guard, dead_letter_evidence,
    enqueue_retry, note_connections, forget_connections, connection_of, flattening_at,
    note_notifications, claim_notifications, settle_notifications,
    add_desk_user, change_desk_user, rehash_desk_password, open_desk_session, open_desk_link, add_desk_link, touch_desk_session, open_transactions,
    end_desk_session, add_api_key, revoke_api_key
    FROM eventrouter_app;

GRANT SELECT ON automated_signals, alert_windows, strategy_trades, strategy_tokens, product_families, execution_tasks, execution_logs, schema_migrations,
    settings, broker_orders, fills, holdings, account_log, last_prices, controls, seals, sealed_heads, dead_letters, open_dead_letters,
    connection_states, notifications, notification_state, desk_users, desk_sessions, desk_links, api_keys,
    pending_tasks, processing_rate, recent_execution_logs, failed_tasks
    TO eventrouter_app;
GRANT INSERT (trade_id, event_type, status, attempts, last_error, payload, last_attempt_at, created_at, updated_at)
    ON execution_tasks TO eventrouter_app;
GRANT EXECUTE ON FUNCTION
    product_of, active_lanes, trade_facts, trade_stands, trade_doubts, append_log, lock_due_tasks, account_facts, read_account_facts,
    enqueue_execution_task, prepare_signals, ingest_signals, route_task, lock_unrouted_tasks, add_strategy_token,
    revoke_strategy_tokens, purge_alert_windows, publish_settings, lock_books, append_account_log, record_fills,
    note_broker_orders, note_prices, enqueue_protection, working_orders, order_is_shown, strategy_of, set_control,
    trades_to_flatten, enqueue_flattening, halt_key, seal_history, leaving, is_in_doubt, is_closed_before, is_superseded, dead_letter_evidence, enqueue_retry,
    note_connections, forget_connections, connection_of, flattening_at,
    note_notifications, claim_notifications, settle_notifications,
    add_desk_user, change_desk_user, rehash_desk_password, open_desk_session, open_desk_link, add_desk_link, touch_desk_session, open_transactions,
    end_desk_session, add_api_key, revoke_api_key
    TO eventrouter_app;
