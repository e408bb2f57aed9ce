create table v (id int primary key, b bytea, f float8, g real, i interval, t timestamptz, d date, a text[], x xml, s text default E'it''s \\ \n', n int check (n is null or n = 3),
  c text check (c <> E'\\'));
insert into v values (1, '\x00ff5c27', 0.1::float8 + 0.2, 1.0/3, '1 mon -2 days 03:04:05.678', '2024-03-31 01:30:00+00', '2024-02-01', array[null, 'NULL', 'a"b', 'it''s \'], 'a<b>c</b>', default, null, 'ü€'),
  (2, '', 'infinity', '-0', '-1 year', 'infinity', '-infinity', '{}', '', E'tab\t', 3, 'b');
create table w (id int references v, at timestamptz default '2024-02-01 03:04:05+02', i interval default '-3 days', primary key (id)); insert into w values (1), (2);
create function f() returns text language sql as $f$ select 'it''s \'::text $f$;
create view u as select * from v where s = E'\\' or t > '2024-02-01 00:00:00+00' or i = interval '1 day -1 hour';
do $$ declare one text; begin
  foreach one in array array['default_toast_compression = lz4', 'default_transaction_isolation = serializable', 'quote_all_identifiers = on', 'bytea_output = escape',
    'extra_float_digits = -3', 'intervalstyle = sql_standard', 'datestyle = ''German, DMY''', 'standard_conforming_strings = off', 'array_nulls = off',
    'transform_null_equals = on', 'xmloption = document', 'timezone = ''Asia/Kolkata''', 'client_encoding = LATIN1', 'search_path = nowhere', 'escape_string_warning = off',
    'backslash_quote = off', 'lo_compat_privileges = on', 'session_replication_role = replica', 'default_transaction_deferrable = on']
  loop execute format('alter database %I set %s', current_database(), one); end loop; end $$;
