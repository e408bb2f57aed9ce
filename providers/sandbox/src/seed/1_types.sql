-- Schemas, extensions, types and functions that the tables need.
create extension "uuid-ossp";
create extension tablefunc;
comment on extension tablefunc is 'crosstab for the monthly report';

create schema billing;
comment on schema billing is 'Invoices and payments; owned by the finance team''s services';
create schema audit;
create schema "Weird Schema";
comment on schema "Weird Schema" is 'Names with capitals, spaces, "quotes" and ümlauts';

create type public.account_status as enum ('invited', 'active', 'suspended', 'closed');
create type billing.invoice_state as enum ('draft', 'sent', 'paid', 'void');
comment on type billing.invoice_state is 'In the order of an invoice''s life';
alter type billing.invoice_state add value 'overdue' before 'paid';
create type public.address as (street text, town text, postcode text);
create type billing.price_range as range (subtype = numeric);
create type "Weird Schema"."Größe" as enum ('klein', 'mittel', 'groß', 'it''s "huge"');

create domain public.email_address as text
    constraint email_shape check (value ~ '^[^@\s]+@[^@\s]+$');
create domain billing.amount as numeric(14, 2) default 0 constraint not_absurd check (value between -1e9 and 1e9);

create sequence billing.invoice_number start 100000 increment 3 minvalue 100000 cache 5;
create sequence public.ticket as integer minvalue -10 maxvalue 1000000 start 7 cycle;
create sequence "Weird Schema"."Never Used Sequence";

create function billing.tax(net numeric, rate numeric default 0.19) returns numeric
    language sql immutable strict parallel safe
    as $$ select pg_catalog.round(net * rate, 2) $$;
comment on function billing.tax(numeric, numeric) is 'Tax on a net amount, rounded half away from zero';

create function public.slug(title text) returns text
    language plpgsql immutable strict
    set search_path to pg_catalog
    as $body$
declare
    cleaned text := lower(regexp_replace(title, '[^[:alnum:]]+', '-', 'g'));
begin
    return trim(both '-' from cleaned);
end
$body$;

create function audit.record_change() returns trigger
    language plpgsql security definer
    set search_path to pg_catalog
    as $body$
begin
    insert into audit.events (occurred_at, actor, action, entity, details)
    values (now(), session_user, tg_op, tg_table_schema || '.' || tg_table_name, to_jsonb(coalesce(new, old)));
    return null;
end
$body$;

create function public.touch() returns trigger language plpgsql as $body$
begin
    new.updated_at := pg_catalog.now();
    return new;
end
$body$;

create function public.longest_of(state text, item text) returns text
    language sql immutable as $$ select case when pg_catalog.length(item) > pg_catalog.length(coalesce(state, '')) then item else state end $$;
create aggregate public.longest(text) (sfunc = public.longest_of, stype = text);

create procedure billing.void_invoice(wanted bigint) language plpgsql as $body$
begin
    update billing.invoices set state = 'void' where id = wanted;
end
$body$;
