do $$ begin create role "we@ird us/er" login; exception when duplicate_object then null; end $$;
create table t(a int); insert into t values (1); alter table t owner to "we@ird us/er";
