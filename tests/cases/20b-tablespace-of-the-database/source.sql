create table t (id int primary key) tablespace pg_default; create table u (id int primary key); insert into t values (1);
