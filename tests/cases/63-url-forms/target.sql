do $$ begin create role "we@ird us/er" login; exception when duplicate_object then null; end $$;
