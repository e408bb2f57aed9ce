create table t (id int primary key); insert into t values (1);
revoke connect on database :"database" from public;
