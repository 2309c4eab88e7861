-- Makes what is sensitive in the tables of crates/core/sql/tests/fixtures/oracle.sql unlike anything else: CANARY(n) as in fixture.sql.
-- Lengths differ, a few are null, and two in a row are the same, as the grammar's conditions want it.
update people set email = case when id % 7 <> 0 then 'CANARY(t)' || id / 2 || '@CANARY(u)' || id || '.example' end,
    born = date '1931-03-07' + id * 37,
    profile = case when id % 5 <> 0 then jsonb_build_object('a', 'CANARY(v)' || id, 'b', id) end;
update orders set card = 'CANARYDIGITS(w)' || id / 2;
update events set phone = '+4915CANARYDIGITS(x)' || id;
update staff set badge = 'CANARY(y)' || id;
refresh materialized view stored;
analyze;
