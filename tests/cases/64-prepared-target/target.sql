create schema prep; grant usage on schema prep to reader; comment on schema prep is 'ours';
create collation prep.c (locale = 'C'); create text search configuration prep.ts (copy = english);
comment on collation prep.c is 'ours';
alter default privileges in schema prep grant select on tables to reader;
create foreign data wrapper w; create server far foreign data wrapper w options (host 'h'); grant usage on foreign server far to reader;
create user mapping for reader server far;
