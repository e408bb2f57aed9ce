comment on schema public is 'ours'; alter schema public owner to app; revoke all on schema public from public; grant create on schema public to other with grant option;
create table public.t (id int primary key); insert into t values (1);
