-- Constraints, indexes, views, triggers, policies and settings: what comes after the rows.
alter table public.accounts add constraint accounts_email_key unique (email);
alter table public.orders add constraint orders_account_id_fkey foreign key (account_id) references public.accounts (id);
alter table public.order_lines add constraint order_lines_product_id_fkey foreign key (product_id) references public.products (id) on update cascade on delete restrict;
alter table public.order_lines add constraint quantity_positive check (quantity > 0);
alter table public.documents add constraint documents_account_id_fkey foreign key (account_id) references public.accounts (id) on delete cascade deferrable initially deferred;
alter table billing.invoices add constraint invoices_account_id_fkey foreign key (account_id) references public.accounts (id);
alter table billing.invoices add constraint invoices_reverses_fkey foreign key (reverses) references billing.invoices (id);
alter table billing.payments add constraint payments_invoice_id_fkey foreign key (invoice_id) references billing.invoices (id) on delete cascade;
alter table billing.payments add constraint paid_something check (amount > 0) not valid;
alter table public.bookings add constraint one_at_a_time exclude using gist (during with &&) where (room = 'Room 0');
alter table audit.events add primary key (id);

create index accounts_created_at on public.accounts (created_at desc nulls last);
create index accounts_lower_email on public.accounts (lower(email::text)) include (status) where status <> 'closed';
create index accounts_tags on public.accounts using gin (tags);
create index orders_account on public.orders (account_id);
create index products_search on public.products using gin (search);
create unique index products_slug on public.products (slug);
create index events_occurred_at on audit.events using brin (occurred_at);
create index events_entity on audit.events (entity, occurred_at);
create index "an index, oddly named" on "Weird Schema"."Table With Spaces" ("größe", "100%");
create statistics public.accounts_status_tags (dependencies) on status, balance from public.accounts;
comment on index public.accounts_lower_email is 'Sign-in looks people up by this';
comment on constraint one_at_a_time on public.bookings is 'Room 0 only; the others may be shared';

create view public.active_accounts as select id, name, email, balance from public.accounts where status = 'active' with local check option;
create view billing.open_invoices with (security_barrier) as
    select i.id, i.number, a.name, i.net + i.tax as gross, i.issued_on + i.due as due_on
    from billing.invoices i join public.accounts a on a.id = i.account_id where i.state in ('sent', 'overdue');
comment on view billing.open_invoices is 'What is still owed to us';
create view "Weird Schema"."View of 数据" as select d.id, d."値" as "a ""quoted"" name" from "Weird Schema"."数据" d;
create view public.sales_by_colour as
    select * from public.crosstab(
        'select id % 3, attributes ->> ''colour'', count(*)::integer from public.products group by 1, 2 order by 1, 2',
        'values (''red''), (''green''), (''blue'')') as report (bucket integer, red integer, green integer, blue integer);
create view public.reversal_chain as
    with recursive chain (id, reverses, depth) as (
        select id, reverses, 1 from billing.invoices where reverses is not null and id < 1200
        union all select c.id, i.reverses, c.depth + 1 from chain c join billing.invoices i on i.id = c.reverses where c.depth < 5
    ) select * from chain;
create materialized view billing.monthly_revenue as
    select date_trunc('month', issued_on::timestamp)::date as month, count(*) as invoices, sum(net) as net from billing.invoices group by 1;
create unique index monthly_revenue_month on billing.monthly_revenue (month);
create materialized view billing.next_year as select * from billing.monthly_revenue with no data;
create rule no_deletes as on delete to billing.rates do instead nothing;

create trigger accounts_touch before update on public.accounts for each row execute function public.touch();
create trigger accounts_audit after insert or update or delete on public.accounts for each row execute function audit.record_change();
create trigger invoices_audit after update of state on billing.invoices for each row when (old.state is distinct from new.state) execute function audit.record_change();
create constraint trigger payments_audit after insert on billing.payments deferrable initially deferred for each row execute function audit.record_change();
create trigger "Trigger, disabled" after delete on "Weird Schema"."数据" for each row execute function audit.record_change();
alter table "Weird Schema"."数据" disable trigger "Trigger, disabled";

alter table audit.events enable row level security;
create policy own_events on audit.events for select using (actor = current_user);
create policy all_inserts on audit.events as permissive for insert with check (true);
grant select on public.active_accounts to public;
alter default privileges in schema billing grant select on tables to public;
alter sequence "Weird Schema"."Never Used Sequence" owned by "Weird Schema"."CamelCase.With.Dots".id;

-- The trigger writes one event by a real change, as life does.
update public.accounts set balance = balance + 0.01 where id <= 25;

alter database acme_org_db set work_mem to '8MB';
alter database acme_org_db set statement_timeout to '5min';
alter database acme_org_db set timezone to 'Europe/Berlin';
alter database acme_org_db set default_text_search_config to 'pg_catalog.german';
alter database acme_org_db set idle_in_transaction_session_timeout to '30min';
comment on database acme_org_db is 'ACME''s one and only';
