set client_encoding = UTF8; create schema "schéma"; create type "schéma"."énum" as enum ('à', 'é', 'Ü'); create domain "schéma"."domäne" as text constraint "prüfung" check (value <> 'ß');
create table "schéma"."tâble" ("clé" int constraint "schlüssel" primary key, "é" "schéma"."énum" default 'é', d "schéma"."domäne", constraint "größe" check (d <> 'ç'));
insert into "schéma"."tâble" values (1, 'à', 'ö'), (2, 'Ü', null); create index "îndex" on "schéma"."tâble" ((lower(d))) where d <> 'Ä'; create view "schéma"."vüe" as select "clé", 'ñ'::text as "ñ" from "schéma"."tâble";
create function "schéma"."fonctîon"() returns trigger language plpgsql as $$ begin -- à
 return new; end $$;
create trigger "auslöser" before insert on "schéma"."tâble" for each row when (new.d <> 'é') execute function "schéma"."fonctîon"();
alter table "schéma"."tâble" enable row level security; create policy "règle" on "schéma"."tâble" using (d <> 'è'); create rule "règle" as on delete to "schéma"."vüe" do instead nothing;
create sequence "schéma"."séquence" start 7; create statistics "schéma"."statistîk" on "clé", d from "schéma"."tâble"; create materialized view "schéma"."mät" as select 'ë'::text as "ë";
create text search dictionary "schéma"."wörter" (template = simple, accept = false); create text search configuration "schéma"."sûche" (copy = simple); comment on column "schéma"."tâble"."é" is 'ÿ'; comment on policy "règle" on "schéma"."tâble" is 'þ';
create function "schéma"."défaut"("à" text default 'é') returns text language sql immutable as $$ select "à" || 'ß' $$; create table "schéma"."p" (t text) partition by list (t); create table "schéma"."p é" partition of "schéma"."p" for values in ('é', 'ü'); insert into "schéma"."p" values ('é');
alter function "schéma"."défaut"(text) set application_name = 'ü';
