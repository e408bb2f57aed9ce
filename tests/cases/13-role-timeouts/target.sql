do $$ begin create role hurried_too login; exception when duplicate_object then null; end $$;
alter role hurried_too set statement_timeout = '40ms'; alter role hurried_too set idle_in_transaction_session_timeout = '100ms'; alter role hurried_too set lock_timeout = '20ms'; alter role hurried_too set search_path = nowhere; alter role hurried_too set idle_session_timeout='150ms';
do $$ begin execute format('alter database %I owner to hurried_too', current_database()); end $$;
