-- What the seed of the source lacks: all that pg_dump treats in a way of its own.
create schema odd; set search_path = odd, public;
create type mood as enum ('sad', 'ok', 'fine');
create type pair as (a int, b text);
create table by_mood (m mood, n int) partition by hash (m);
create table by_mood_0 partition of by_mood for values with (modulus 2, remainder 0);
create table by_mood_1 partition of by_mood for values with (modulus 2, remainder 1);
insert into by_mood select (array['sad', 'ok', 'fine'])[1 + g % 3]::mood, g from generate_series(1, 60) g;
create index on by_mood (n);
create table typed (id int generated always as identity primary key, r regclass, p pair, ms mood[], x xml, t tsvector,
    twice int generated always as (1 * 2) stored, at timestamptz default now(), f float8, n numeric, v interval, b bytea);
insert into typed (r, p, ms, x, t, f, n, v, b) select 'odd.by_mood', row(g, 'b;"')::pair, array['ok', 'sad']::mood[], '<a/>',
    'a:1 b:2', 1 / g::float8, 'NaN', '1 mon -3 days', decode('00ff5c0a', 'hex') from generate_series(1, 50) g;
insert into typed (f) values ('infinity'), (null);
-- Rows of NULL, which are not NULL.
create table pairs (p pair, n int);
insert into pairs values (row(null, null), null), (row(null, null), 1), (null, 2), (row(3, null), null), (null, null);
create table nothing (); insert into nothing default values; insert into nothing default values;
create unlogged table quick (id int primary key); insert into quick values (1), (2);
create table keyed (id int primary key, code text not null, area int4range,
    constraint code_once unique (code) include (id) with (fillfactor = 70),
    constraint late unique (id, code) deferrable initially deferred,
    constraint apart exclude using gist (area with &&));
insert into keyed select g, 'c' || g, int4range(g * 10, g * 10 + 5) from generate_series(1, 500) g;
create index keyed_lower on keyed (lower(code)) where id > 3;
alter table keyed cluster on keyed_pkey; alter table keyed replica identity using index code_once;
alter index keyed_lower alter column 1 set statistics 400;
comment on constraint code_once on keyed is 'it''s; -- Name: x; Type: TABLE; Schema: y; Owner: z';
comment on index keyed_lower is E'two\nlines';
create table child (id int primary key, parent int references keyed on delete cascade deferrable initially deferred,
    other text references keyed (code) on update cascade, self int references child);
insert into child select g, g, 'c' || g, nullif(g - 1, 0) from generate_series(1, 300) g;
alter table child add constraint loose foreign key (id) references keyed (id) not valid;
create view totals as select k.*, count(*) from keyed k join child c on c.parent = k.id group by k.id;
create materialized view moods as select m, count(*) from by_mood group by m; create unique index on moods (m);
create materialized view of_moods as select count(*) from moods;
create materialized view of_totals as select count(*) from totals;
create index of_totals_count on of_totals (count);
create function top(int) returns setof totals language sql begin atomic; select * from odd.totals limit $1; end;
create function noisy() returns trigger language plpgsql as $body$
-- TOC entry 1 (class 1 OID 1)
-- Name: not this; Type: TABLE; Schema: x; Owner: -
begin raise notice 'a trigger has run'; new.code := 'changed'; return new; end $body$;
create trigger noisy before insert or update on keyed for each row execute function noisy();
create rule quiet as on delete to quick do instead (select 1; select 2);
create statistics of_both (dependencies) on id, code from keyed;
alter table keyed enable row level security;
create policy mine on keyed using (code = current_user); comment on policy mine on keyed is 'mine';
create sequence unused start 7; create sequence used minvalue -5 increment -1 maxvalue 100 start 9; select nextval('used');
select lo_from_bytea(770001, convert_to(repeat('large ', 100000), 'UTF8')); comment on large object 770001 is 'it''s large';
select lo_create(770002);
create operator === (leftarg = text, rightarg = text, function = texteq);
create aggregate joined (text) (sfunc = textcat, stype = text);
create collation german (provider = icu, locale = 'de');
create text search configuration plain (copy = simple);
create cast (mood as int) with inout as assignment;
