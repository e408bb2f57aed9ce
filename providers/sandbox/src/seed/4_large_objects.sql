-- Some tens of large objects, most of them referred to by a document and a few orphans.
select lo_from_bytea(500000 + i, decode(repeat(md5('scan ' || i), 1 + (i % 8) * 200), 'hex')) from generate_series(1, 40) as i;
update public.documents set scan = 500000 + numbered.i
from (select id, row_number() over (order by id) as i from public.documents) as numbered
where numbered.id = documents.id and numbered.i <= 36;
comment on large object 500001 is 'The first paper ever scanned';
