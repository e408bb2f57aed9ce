create table v (id int primary key, b bytea, f float8, g real, i interval, t timestamptz, d date, a text[], x xml, s text default E'it''s \\ \n', n int check (n is null or n = 3),
  c text check (c <> E'\\'));
insert into v values (1, '\x00ff5c27', 0.1::float8 + 0.2, 1.0/3, '1 mon -2 days 03:04:05.678', '2024-03-31 01:30:00+00', '2024-02-01', array[null, 'NULL', 'a"b', 'it''s \'], 'a<b>c</b>', default, null, 'ü€'),
  (2, '', 'infinity', '-0', '-1 year', 'infinity', '-infinity', '{}', '', E'tab\t', 3, 'b');
create table w (id int references v, at timestamptz default '2024-02-01 03:04:05+02', i interval default '-3 days', primary key (id)); insert into w values (1), (2);
create function f() returns text language sql as $f$ select 'it''s \'::text $f$;
create view u as select * from v where s = E'\\' or t > '2024-02-01 00:00:00+00' or i = interval '1 day -1 hour';
