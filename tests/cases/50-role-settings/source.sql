create table t (id int primary key); insert into t values (1);
alter role app in database :"database" set search_path = "My Schema", public; alter role all in database :"database" set work_mem='8MB';
