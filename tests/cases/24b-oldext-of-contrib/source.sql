create extension hstore version '1.4'; create extension pg_trgm version '1.3'; create extension intarray; create extension btree_gist; create extension ltree; create extension cube; create extension earthdistance; create extension isn; create extension seg;
create table x (id int primary key, h hstore, ns int[], path ltree, c cube, isb isbn13, s seg, r int4range, exclude using gist (id with =, r with &&));
insert into x values (1, 'a=>1', '{1,2}', 'a.b.c', '(1,2)', '978-0-393-04002-9', '1.5 .. 2', '[1,5)');
create index on x using gin (ns gin__int_ops); create index on x using gist (path);
create operator class my_ops for type int using btree as operator 1 <, operator 2 <=, operator 3 =, operator 4 >=, operator 5 >, function 1 btint4cmp(int,int); create index on x (id my_ops);
