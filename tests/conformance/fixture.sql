-- What the conformance and adversarial tests work on. Loaded as the role that the gateway uses.
create type mood as enum ('sad', 'ok', 'happy');
create type address as (street text, zip int);
create domain percent as int check (value between 0 and 100);

create table customers (id int primary key, name text not null, email text, phone text, card text, ssn text);
insert into customers
select g, 'Customer ' || g, 'c' || g || '@example.test', '+49 30 ' || (100000 + g), '4111-1111-1111-' || (1000 + g),
       '078-05-' || lpad(g::text, 4, '0')
from generate_series(1, 1000) g;

create table orders (id int primary key, customer_id int references customers, total numeric(10, 2), placed timestamptz);
insert into orders
select g, g % 1000 + 1, g * 1.25, timestamptz '2026-01-01 00:00:00+00' + g * interval '1 minute'
from generate_series(1, 5000) g;

create table schema_migrations (version text primary key);
create table audit_log (id int generated always as identity, what text);
create table notes (id int primary key, body text);
insert into notes values (1, 'one'), (2, 'zwei'), (3, 'три');
create table staff (id int primary key, name text, salary int);
insert into staff select g, 'Staff ' || g, 40000 + g from generate_series(1, 50) g;
create view order_totals as
select c.name, sum(o.total) as total from customers c join orders o on o.customer_id = c.id group by c.name;

create table every_type (
  id int primary key, i2 int2, i4 int4, i8 int8, f4 float4, f8 float8, num numeric, num2 numeric(12, 3), t text,
  vc varchar(20), ch char(5), by bytea, b bool, d date, tm time, tmtz timetz, ts timestamp, tstz timestamptz,
  iv interval, u uuid, js json, jb jsonb, ia int4[], ta text[], na numeric[], ad address, ada address[], r int4range,
  mr int4multirange, tr tstzrange, m mood, ma mood[], ip inet, cd cidr, mac macaddr, pt point, bits bit(8), vb varbit,
  oi oid, nm name, mon money, tsv tsvector, ln pg_lsn, dom percent
);
insert into every_type values
  (1, -32768, -2147483648, -9223372036854775808, 1.5, 2.718281828459045, 12345.678900, 0.125, 'plain', 'vc', 'ab',
   '\x00ff10', true, '2026-11-21', '12:34:56.789012', '12:34:56+02', '2026-11-21 12:34:56.789', '2026-11-21 12:34:56.789+02',
   '1 year 2 mons 3 days 04:05:06.7', '00112233-4455-6677-8899-aabbccddeeff', '{"a": [1, null, "x"]}',
   '{"b": {"c": 1.50}}', '{1,NULL,3}', '{"a b",NULL,"c\"d","e,f"}', '{1.10,NaN}', '("Main St, 1",10115)',
   '{"(a,1)","(b,2)"}', '[1,10)', '{[1,3),[5,8)}', '["2026-01-01 00:00+00","2026-02-01 00:00+00")', 'happy', '{sad,ok}',
   '192.168.1.7/24', '10.0.0.0/8', '08:00:2b:01:02:03', '(1.5,-2)', B'10110001', B'101', 4294967295, 'a_name', '1234.56',
   'a fat cat', '16/B374D848', 42),
  (2, 32767, 2147483647, 9223372036854775807, 'NaN', '-1e-300', 'NaN', 999999999.999, '', '', '', '', false,
   '1999-12-31', '00:00:00', '23:59:59-12', '1970-01-01 00:00:00', '1970-01-01 00:00:00+00', '-00:00:00.000001',
   'ffffffff-ffff-ffff-ffff-ffffffffffff', 'null', '[]', '{}', '{}', '{}', '(,)', '{}', 'empty', '{}', '(,)', 'sad', '{}',
   '::1', '2001:db8::/32', 'ff:ff:ff:ff:ff:ff', '(0,0)', B'00000000', B'', 0, '', '-0.01', '', '0/0', 0),
  (3, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null,
   null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null,
   null, null, null, null),
  (4, 0, 0, 0, 'Infinity', '-Infinity', '1e40', -0.001, E'tab\tnew\nline\\ € 漢字 🐘', 'ünïcödé', 'é', '\x5c6e27', true,
   '2024-02-29', '23:59:59.999999', '00:00:00+00', '2024-02-29 23:59:59.999999', '2024-02-29 23:59:59.999999-08',
   '10 years', '00000000-0000-0000-0000-000000000000', '"€"', '"\u20ac"', '{{1,2},{3,4}}', '{"NULL"}', '{0}',
   '("quote "" and \\",-1)', '{NULL}', '(,5]', '{(,5)}', '[2026-01-01 00:00+00,)', 'ok', '{happy,NULL}', '10.1.2.3',
   '192.168.0.0/16', '00:00:00:00:00:00', '(1e10,1e-10)', B'11111111', B'1', 1, 'ä', '0', '''quoted'':1A', 'F/F', 100);

create table "Weird ""Name"" – 表" ("select" int primary key, "a b" text, "Ünï" text);
insert into "Weird ""Name"" – 表" values (1, 'x', 'ä'), (2, null, '漢');

create function add_one(int) returns int language sql immutable as 'select $1 + 1';
create function leave_mark(what text) returns int language sql volatile as
  'insert into audit_log (what) values (what) returning id';
create procedure mark_twice(what text) language sql as
  'insert into audit_log (what) values (what); insert into audit_log (what) values (what)';
