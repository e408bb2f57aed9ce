do $$ begin create role hired login; exception when duplicate_object then null; end $$;
grant appowner to hired; alter role hired set role = appowner;
do $$ begin execute format('alter database %I owner to appowner', current_database()); end $$;
