select 'create role team' where not exists (select from pg_roles where rolname = 'team') \gexec
grant team to tapp;
