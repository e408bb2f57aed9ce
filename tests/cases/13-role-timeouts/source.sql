do $$ begin create role hurried login; exception when duplicate_object then null; end $$;
alter role hurried set statement_timeout = '40ms'; alter role hurried set idle_in_transaction_session_timeout = '100ms'; alter role hurried set lock_timeout = '20ms'; alter role hurried set default_transaction_read_only = on; alter role hurried set search_path = nowhere; alter role hurried set idle_session_timeout='150ms'; alter role hurried set work_mem='64kB';
create table big as select i, md5(i::text) a, md5((i*2)::text) b from generate_series(1,200000) i; alter table big add primary key (i); alter table big owner to hurried;
create table slow (a text); alter table slow owner to hurried; insert into slow select repeat(md5(i::text), 300) from generate_series(1,3000) i;
