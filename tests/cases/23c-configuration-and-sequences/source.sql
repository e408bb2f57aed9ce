create extension hstore; create table conf (id int primary key, v text, system bool default false); create table plain (v text); create sequence counted;
alter extension hstore add table conf; alter extension hstore add table plain; alter extension hstore add sequence counted;
update pg_extension set extconfig = array['conf'::regclass, 'plain'::regclass, 'counted'::regclass]::oid[], extcondition = array['WHERE NOT system', '', ''] where extname = 'hstore';

insert into conf values (1, 'its own', true), (2, 'a', false), (3, 'b', false); insert into plain values ('x'), (null); select setval('counted', 7);
