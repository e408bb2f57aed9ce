do $$ begin create role lent login; exception when duplicate_object then null; end $$;
grant appowner to lent;
do $$ begin execute format('alter database %I owner to appowner', current_database()); end $$;
