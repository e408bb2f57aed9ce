-- 50,000 large objects of about 2 kB: psql --file.
\set ON_ERROR_STOP on
set client_min_messages = warning;
create schema shop;
create table shop.pictures (id int primary key, content oid);
insert into shop.pictures
  select i, lo_from_bytea(0, decode(string_agg(md5(i || '/' || j), ''), 'hex'))
  from generate_series(1, 50000) as i, generate_series(1, 64) as j group by i;
