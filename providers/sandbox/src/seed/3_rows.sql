-- Rows, the same ones each time; numbers between @ signs grow with the size that was asked for.
insert into public.accounts (public_id, email, name, status, balance, home, tags, preferences, last_seen_from, created_at, updated_at)
select md5('account ' || i)::uuid,
    'user' || i || '@example.' || (array['com', 'org', 'net'])[1 + i % 3],
    (array['Ada', 'Grace', 'Zoë', 'Jürgen', 'Łukasz', 'O''Neil', '小林', 'Marie-Claire'])[1 + i % 8] || ' ' || initcap(substr(md5(i::text), 1, 9)),
    (array['active', 'active', 'active', 'invited', 'suspended', 'closed'])[1 + i % 6]::public.account_status,
    round(((i * 7919::bigint) % 1000003)::numeric / 100 - 500, 2),
    row(i % 200 || ' Main Street', (array['Berlin', 'Kraków', 'Chicago', 'Lyon'])[1 + i % 4], lpad((i % 99999)::text, 5, '0'))::public.address,
    array['tier:' || i % 5, case when i % 7 = 0 then 'with, comma' else 'plain' end, case when i % 11 = 0 then null else '"quoted"' end],
    jsonb_build_object('theme', (array['dark', 'light'])[1 + i % 2], 'limits', jsonb_build_array(i % 10, i % 100, null), 'note', repeat('é', i % 9)),
    ('10.' || i % 250 || '.' || (i / 250) % 250 || '.1')::inet,
    '2024-01-01 00:00:00+00'::timestamptz + i * interval '37 minutes',
    '2025-11-01 00:00:00+00'::timestamptz + i * interval '3 seconds'
from generate_series(1, @20000@) as i;

insert into public.products (title, weight_kg, volume_l, dimensions, attributes, search)
select title, i * 0.1::real, i / 3.0::double precision, array[[i % 7, i % 11], [i % 13, 0]],
    json_build_object('colour', (array['red', 'green', 'blue'])[1 + i % 3], 'sizes', json_build_array('S', 'M', 'L')),
    to_tsvector('pg_catalog.english', title || ' made for the curious customer number ' || i)
from (select i, 'Product ' || initcap(substr(md5('product ' || i), 1, 8)) || ' & Sons No. ' || i as title from generate_series(1, @2000@) as i) as named;

insert into public.orders (id, account_id, placed_at, status, note, total)
select i, 1 + (i * 31::bigint) % @20000@, '2024-12-20 00:00:00+00'::timestamptz + (i % 9600) * interval '1 hour',
    (array['new', 'packed', 'sent', 'returned'])[1 + i % 4],
    case when i % 5 = 0 then 'Leave it with the neighbour, ' || md5(i::text) || E'\n\t' || repeat('thank you ', i % 6) end,
    round((i % 10007)::numeric / 7, 2)
from generate_series(1, @100000@) as i;

insert into public.order_lines (order_id, position, product_id, quantity, unit_price)
select 1 + i / 2, 1 + i % 2, 1 + (i * 17::bigint) % @2000@, 1 + i % 9, round((i % 997)::numeric / 3, 2)
from generate_series(0, @119999@) as i;

insert into public.documents (id, account_id, file_name, content, digest)
select md5('document ' || i)::uuid, 1 + (i * 53::bigint) % @20000@, 'scan ' || i || '.pdf', content, md5(content)
from (
    select i, decode(string_agg(md5(i || ' ' || j), ''), 'hex') as content
    from generate_series(1, @600@) as i, generate_series(1, 512) as j group by i
) as made;

insert into public.bookings (room, during)
select 'Room ' || i % 5, tstzrange('2026-01-01 00:00:00+00'::timestamptz + (i / 5) * interval '2 hours', '2026-01-01 00:00:00+00'::timestamptz + (i / 5) * interval '2 hours' + interval '1 hour')
from generate_series(0, 499) as i;

insert into public."user" values (1, 'FROM', 'b', true), (2, E'tab\tnewline\nbackslash\\', 'B', false), (3, '', null, null), (4, '\N', 'a', default);
insert into public.session_cache select md5(i::text), jsonb_build_object('n', i) from generate_series(1, 50) as i;

insert into billing.rates select c, d, r from (values ('DE', date '2020-01-01', 0.19), ('DE', '2020-07-01', 0.16), ('FR', '2014-01-01', 0.2), ('PL', '2011-01-01', 0.23)) as v (c, d, r);
insert into billing.invoices (account_id, state, net, discounts, issued_on, due, reverses)
select 1 + (i * 11::bigint) % @20000@, (array['draft', 'sent', 'overdue', 'paid', 'void'])[1 + i % 5]::billing.invoice_state,
    round((i % 5003)::numeric * 1.37, 2), case when i % 3 = 0 then billing.price_range(i % 10, i % 10 + 5) end,
    date '2025-01-01' + (i % 330)::integer, make_interval(days => 7 + (i % 4)::integer * 7),
    case when i % 50 = 0 then 1000 + 2 * (i / 2) end
from generate_series(1, @20000@) as i;
insert into billing.payments (invoice_id, paid_at, amount, method, receipt)
select id, issued_on + interval '9 days 3 hours', net, (array['card', 'transfer', 'cash'])[1 + id % 3], (id::text)::xid8
from billing.invoices where state = 'paid';

insert into audit.events (occurred_at, actor, action, entity, details)
select '2025-01-01 00:00:00+00'::timestamptz + i * interval '7 minutes', 'service_' || i % 12, (array['INSERT', 'UPDATE', 'DELETE'])[1 + i % 3],
    (array['public.accounts', 'public.orders', 'billing.invoices'])[1 + i % 3],
    jsonb_build_object('request', md5('request ' || i), 'before', jsonb_build_object('total', i % 977, 'state', 'new'), 'after', jsonb_build_object('total', i % 983, 'state', 'sent'), 'ip', '203.0.113.' || i % 255)
from generate_series(1, @35000@) as i;
insert into audit.base values (1, '2030-01-01'), (2, null);
insert into audit.archived values (3, '2031-01-01', 'law'), (4, 'infinity', 'habit');

insert into "Weird Schema"."Table With Spaces"
select i, 'row "' || i || '" isn''t plain', (array['klein', 'mittel', 'groß', 'it''s "huge"'])[1 + i % 4]::"Weird Schema"."Größe", i / 7.0, 'C:\temp\' || i, i::bit(8)::bit varying
from generate_series(1, 500) as i;
insert into "Weird Schema"."数据" values (1, '値です', '2025-02-28 23:59:59.999999'), (2, E'\u0001 control', 'infinity'), (3, null, '4713-01-01 00:00:00 BC'), (4, '🐘🐘', 'epoch');
insert into "Weird Schema"."CamelCase.With.Dots" select i, 'kept ' || i from generate_series(1, 100) as i;
insert into "Weird Schema".types_of_all_sorts values
    (1, 'NaN', '-Infinity', '12.34', '-1 mon +3 days -04:05:06.7', '23:59:59.999999', '04:05:06+02', 'infinity', '((1,2),(3,4))', '(1.5,-2)', '[(0,0),(1,1)]', '10.0.0.0/8', '08:00:2b:01:02:03', B'10101', md5('x')::uuid, '<a href="x">&amp;</a>', 'fat & (rat | cat)', '[1,5)', 4294967295, 'x', E'line\r\nfeed', '{[1,3),[7,9)}'),
    (2, 1.1, 0.1, '-1', '178000000 years', '00:00', '24:00:00-15', '4713-01-01 BC', null, null, '((0,0),(1,1))', '::/0', null, B'00000', null, null, null, 'empty', 0, null, '', '{}'),
    (3, '3.4028235e38', '2.2250738585072014e-308', null, '0', null, null, '9999-12-31', null, '(0,-0)', null, null, null, null, null, '<b/>', null, '(,)', 1, E'\\', repeat('long ', 3000), null);

select setval('public.ticket', 4711), setval('billing.invoice_number', 160003, false);
