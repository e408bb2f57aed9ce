select 'create role team' where not exists (select from pg_roles where rolname = 'team') \gexec
create schema ours authorization team; create schema lent authorization app; grant create, usage on schema lent to team;
create table ours.t (id serial primary key, v text); insert into ours.t (v) values ('a'); alter table ours.t owner to team;
revoke delete on ours.t from team; grant select on ours.t to reader;
create type ours.mood as enum ('ok'); alter type ours.mood owner to team; create view ours.v as select * from ours.t; alter view ours.v owner to team;
create function ours.f() returns int language sql security definer as 'select 1'; alter function ours.f() owner to team;
create table lent.t (id int primary key references ours.t); insert into lent.t values (1); alter table lent.t owner to team;
create function public.g() returns int language sql security definer as 'select 1'; alter function public.g() owner to team; create table public.shut (id int primary key); alter table public.shut owner to team;
select lo_from_bytea(60001, 'team''s'); alter large object 60001 owner to team;
