-- Values of every type whose text a copy tells from its binary form: extremes, what needs care, and thousands of others.
set timezone = 'UTC';
create schema told;
set search_path = told;
create type mood as enum ('sad', 'it''s "ok"', 'ü\t');
create domain humour as mood;
create domain amount as numeric;
create domain owed as amount check (value is null or value <> 7);
create domain document as jsonb;

create table every (id int4 primary key, a bool, b int2, c int4, d int8, e oid, f text, g varchar(60), h char(12), i name,
    gone int, j json, k jsonb, l bytea, m uuid, n date, o timestamp, p timestamptz, q numeric, r numeric(20, 4), s mood,
    t humour, u owed, v document, w varchar);
alter table every drop column gone;

create function pick(seed int8, salt int8) returns int8 language sql immutable as
    $$ select hashint8extended(seed * 1000 + salt, 7) $$;
insert into every
select g, x.a & 1 = 0, (x.a % 32768)::int2, (x.b % 2147483648)::int4, x.c >> (g % 64), x.a & 4294967295,
    (array['', 'plain', E'tab\tline\nback\\slash', '"quoted", (a)', 'Grüße 数据 🦀', '\N', E'\\.', E'\r\v\f\b', ' ', 'NULL'])[1 + g % 10]
      || repeat(chr((g % 500) + 40), g % 40),
    md5(g::text), left(md5(g::text), g % 13), 'name "' || g, ('{"b":  ' || x.a || ', "a\\n": null}')::json,
    jsonb_build_object('k', x.b, 'text', E'a"\\\t' || g, 'n', x.a::numeric / 1000, 'list', jsonb_build_array(g, null, true)),
    decode(repeat(md5(x.a::text), g % 7), 'hex'), md5(x.c::text)::uuid,
    date '4714-11-24 BC' + (abs(x.a % 2147483493))::int4,
    timestamp 'epoch' + make_interval(secs => (x.b % 200000000000)::float8 / (10 ^ (g % 7))::float8),
    timestamptz 'epoch' + make_interval(secs => (x.c % 100000000000)::float8 / (10 ^ (g % 7))::float8),
    x.a::numeric * (10::numeric ^ (g % 60 - 30)), (x.b % 1000000000000)::numeric / 10000,
    (enum_range(null::mood))[1 + g % 3], (enum_range(null::mood))[1 + (g / 3) % 3],
    round(x.c::numeric / 7, g % 50), to_jsonb(x.a), repeat('x', g % 30)
from generate_series(1, 4000) g,
    lateral (select pick(g, 1) as a, pick(g, 2) as b, pick(g, 3) as c) x;

insert into every (id, b, c, d, e, q, u) values
    (-1, -32768, -2147483648, -9223372036854775808, 0, 'NaN', 'NaN'),
    (-2, 32767, 2147483647, 9223372036854775807, 4294967295, 'Infinity', '-Infinity'),
    (-3, 0, 0, 0, 1, 0, -0.0), (-4, -1, -1, -1, 2, 0.0000, 1e-20), (-5, 9, 10, 100, 3, 1e1000, -1e131071),
    (-6, 99, 9999, 10000, 4, 1e-16383, 9999.9999), (-7, 1, 1, 1, 5, -0.00010001, 10000), (-8, 1, 1, 1, 5, 100010000.5, 99999999);
insert into every (id, n, o, p) values
    (-10, 'infinity', 'infinity', 'infinity'), (-11, '-infinity', '-infinity', '-infinity'),
    (-12, '4714-11-24 BC', '4714-11-24 00:00:00 BC', '4714-11-24 00:00:00+00 BC'),
    (-13, '5874897-12-31', '294276-12-31 23:59:59.999999', '294276-12-31 23:59:59.999999+00'),
    (-14, '0001-12-31 BC', '0001-12-31 23:59:59.5 BC', '0001-02-29 00:00:00.000001+00 BC'),
    (-15, '0001-01-01', '0001-01-01', '0001-01-01 00:00:00+00'), (-16, '9999-12-31', '9999-12-31 23:59:59.9', '10000-01-01 00:00:00+00'),
    (-17, '2000-02-29', '1999-12-31 23:59:59.999999', '1969-12-31 23:59:59.1+05:30'), (-18, '1900-02-28', '2400-02-29', '2100-03-01'),
    (-19, '1582-10-10', '1582-10-15 12:00:00.120', '1883-11-18 12:03:58-05');
insert into every (id, f, g, h, i, j, k, l) values
    (-20, '', '', '', '', '""', '""', ''), (-21, '\N', '\.', '\', '\t', '"\u0009\\"', '"\u0009\\"', '\x5c09');
insert into every (id) values (-30);

-- One column that is NULL or empty, a day each of eight centuries, and rows of different widths in ranges of pages.
create table single (a text); insert into single values (null), (''), (E'\t'), ('\N'), ('\Nt');
create table days as select date '1600-01-01' + g as day, timestamptz '1600-01-01 00:00:00.25+00' + g * interval '1 day' as at
    from generate_series(0, 300000, 3) g;
create table ranged (id int8, body text);
alter table ranged alter body set storage external;
insert into ranged select g, case when g % 100 = 0 then repeat(md5(g::text), 32000) else repeat('ä"\', g % 90) end
    from generate_series(1, 7500) g;

-- Travels as text, since only its lines can be hashed.
create table fallback (id int, a float8, b int4[], c interval, d inet);
insert into fallback values (1, 0.1, '{1,null}', '1 day', '::1'), (2, 'NaN', null, null, null);
-- Text, whose lines are hashed.
create table lines (id int, r regclass, d xml, f float8, p point, t tsvector, i interval, a mood[]);
insert into lines select g, 'told.every', 'a<b/>c', g / 3.0, point(g, 0.1), to_tsvector('simple', 'a b'' ' || g), g * interval '1 hour -1 month',
    array['sad', null, 'ü\t']::mood[] from generate_series(1, 500) g;
create table money (id int, a money); insert into money values (1, 3);
create type coins as range (subtype = money);
create table purses (id int, c coins_multirange); insert into purses values (1, coins_multirange(coins('1', '2')));
create table made (id int, twice int generated always as (id * 2) stored); insert into made values (1);
create table nothing (); insert into nothing default values;
-- Each of its rows is where a hash of the server's own numbers of labels leads.
create table by_moods (ms mood[], n int) partition by hash (ms);
create table by_moods_0 partition of by_moods for values with (modulus 3, remainder 0);
create table by_moods_1 partition of by_moods for values with (modulus 3, remainder 1);
create table by_moods_2 partition of by_moods for values with (modulus 3, remainder 2);
insert into by_moods select array['sad', (array['sad', 'ü\t', null])[1 + g % 3]]::mood[], g from generate_series(1, 30) g;
-- Its constraint holds in one time zone only.
set timezone = 'Asia/Kathmandu';
create table office (at timestamptz check (extract(hour from at) between 8 and 18), said text default 'C:\new' check (said <> '\d'));
insert into office values ('2020-01-01 09:00+05:45');
reset timezone;
