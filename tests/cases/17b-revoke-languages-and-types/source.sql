revoke usage on language plpgsql from public; grant usage on language plpgsql to app;
create type e as enum ('a'); create domain d as int; revoke usage on type e from public; revoke usage on domain d from public; grant usage on type e to reader with grant option;
create table t (id int primary key, a int, b int); grant select (a), update (b) on t to reader; grant insert on t to reader with grant option;
set role app; set role none; grant all on t to app with grant option; set role app; grant select on t to other; set role none;
create sequence s; grant usage on sequence s to reader; create procedure p() language sql as 'select 1'; revoke all on procedure p() from public;
select lo_create(50001); grant select on large object 50001 to public;
