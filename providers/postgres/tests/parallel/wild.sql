create schema "We""ird";
create table "We""ird"."T able (x)" ("a ""b)" int primary key, "ключ" text,
    g int generated always as ("a ""b)" * 2) stored, id bigint generated always as identity (start 7 increment 3));
insert into "We""ird"."T able (x)" ("a ""b)", "ключ") values (1, null), (2, ''), (3, E'\\.'), (4, E'a\tb\nc\\N\r'), (5, '数据');
create table public.nothing ();
-- As many columns as a server joins in one go, and more.
do $$ begin
  for wide in 90..91 loop
    execute format('create table public.wide_%s as select %s from generate_series(1, 30) i', wide,
      (select string_agg(format('nullif(i %% %s, 1) c%s', n, n), ', ') from generate_series(2, wide + 1) n));
  end loop;
end $$;
insert into public.nothing default values;
insert into public.nothing default values;
create table public.empty (a int);
create unlogged table public.unlogged as select 1 as a;
create table public.gone (a int, b int, c text);
insert into public.gone values (1, 2, 'x');
alter table public.gone drop column b;
create type public.mood as enum ('sad', 'ok', 'happy');
create table public.moods (m public.mood, n int) partition by hash (m);
create table public.moods_0 partition of public.moods for values with (modulus 2, remainder 0);
create table public.moods_1 partition of public.moods for values with (modulus 2, remainder 1);
insert into public.moods select (array['sad', 'ok', 'happy'])[1 + i % 3]::public.mood, i from generate_series(1, 300) i;
create table public.parent (a int);
create table public.child (b text) inherits (public.parent);
insert into public.parent values (1);
insert into public.child values (2, 'two');
create table public.hidden (a int);
insert into public.hidden values (1), (2);
alter table public.hidden enable row level security;
create policy none on public.hidden using (false);
create table public.kinds as select 1.5::float8 as f, 'NaN'::numeric as n, '2024-02-29 12:00:00.123+03'::timestamptz as t,
    '-1 year 2 days'::interval as i, '\xdeadbeef'::bytea as b, array[null, 'a,"b'] as a, '{"k": [1, null]}'::jsonb as j,
    '$12.34'::money as m, '[1,5)'::int4range as r;
create table public.signs as select i, chr(i) as one, 'a' || chr(i) || 'b' as within, array[chr(i), null] as list, row(chr(i), '')::text as row
    from generate_series(1, 300) i;
create type public.pair as (a text, b numeric);
create table public.odd as select row('a "b", \c', 1.50)::public.pair as p, array[row(null, -0.0)::public.pair] as l,
    '-infinity'::float8 as f, 1e-7::float4 as g, '{"a b": "\\"}'::jsonb as j, 'a & b:*'::tsquery as q, '10.1.0.0/16'::inet as n,
    '{[1,2),[5,)}'::int4multirange as m, b'101' as b, 'x'::char(5) as c, '24:00'::time as t, '0044-03-15 BC'::date as d,
    'public.kinds'::regclass as r, E' \x0b\x0c'::text as s;
create table public.pairs (p public.pair, n int);
insert into public.pairs values (row(null, null), null), (row(null, null), 1), (null, 2), (row('3', null), null), (null, null);
create table public.big (id int primary key, body text);
alter table public.big alter body set storage plain;
insert into public.big select i, (select string_agg(md5(i::text || j), '') from generate_series(1, 60) j) from generate_series(1, 18000) i;
delete from public.big where id % 1000 = 0;
create table public.outside (id int primary key, body bytea);
alter table public.outside alter body set storage external;
insert into public.outside select i, decode(repeat(md5(i::text), 20000), 'hex') from generate_series(1, 108) i;
create sequence public.numbers start 100;
select nextval('public.numbers') from generate_series(1, 5);
create materialized view public.seen as select count(*) from public.big;
create index on public.big (md5(body));
select lo_from_bytea(700000 + i, decode(repeat(md5(i::text), i), 'hex')) from generate_series(1, 40) i;
select lo_from_bytea(800000, ''), lo_from_bytea(800001, decode(repeat('ab', 256 * 1024), 'hex')),
       lo_from_bytea(800002, decode(repeat('0123456789', 500000), 'hex'));
select lo_put(800001, 3000000, 'behind a hole');
comment on large object 800002 is 'the largest';
