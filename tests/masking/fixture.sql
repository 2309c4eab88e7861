-- A shop whose sensitive cells are all unlike each other: CANARY(n) is replaced by letters and digits that stand nowhere else.
-- What many a database has in `public`: functions and operators by the names of built-in ones among it.
create extension citext;
create extension hstore;
create extension pgcrypto;
create extension "uuid-ossp";
create extension pg_trgm;
create extension unaccent;
create schema hr;
create domain mailbox as text check (value like '%@%');
create type contact as (kind text, address text);
create type mood as enum ('fine', 'so so');

create table public.regions (id int primary key, name text not null);
insert into regions values (1, 'north'), (2, 'south'), (3, 'west');

create table public.customers (
    id int primary key,
    region_id int not null references regions,
    name text not null,
    email text not null unique,
    mailbox mailbox not null,
    phone varchar(40) not null,
    card char(40) not null,
    ssn text not null,
    account bigint not null,
    income numeric(30, 4) not null,
    born date not null,
    last_seen timestamptz not null,
    address inet not null,
    device macaddr8 not null,
    token uuid not null,
    secret bytea not null,
    profile jsonb not null,
    profile_text json not null,
    aliases text[] not null,
    contact contact not null,
    visits tstzrange not null,
    mood mood not null,
    notes text not null,
    active boolean not null default true,
    created date not null default '2024-05-01',
    email_domain text generated always as (split_part(email, '@', 2)) stored,
    constraint card_is_long check (length(card) > 3),
    constraint income_is_positive check (income > 0)
);
insert into customers
select n, n % 3 + 1, 'Customer ' || n, 'CANARY(a)' || n || '@CANARY(b)' || n || '.example', 'CANARY(c)' || n || '@box.example',
       '+4915CANARYDIGITS(d)' || n, 'CANARYDIGITS(e)' || n, 'CANARYDIGITS(f)-' || n,
       7310000000000000000 + n * 1234567890123, 86420975310000.1234 + n * 98765432.1111,
       date '1931-03-07' + n * 37, timestamptz '1971-11-23 04:05:06.789+00' + n * interval '37 days 11:13:17.123456',
       ('203.0.' || 100 + n || '.' || 200 + n)::inet, ('08:00:2b:ff:fe:77:66:' || lpad(to_hex(100 + n), 2, '0'))::macaddr8,
       ('CANARYHEX(g)' || lpad(n::text, 12, '0'))::uuid, convert_to('CANARY(h)' || n, 'UTF8'),
       jsonb_build_object('mail', 'CANARY(i)' || n || '@json.example', 'nested', jsonb_build_object('mails', jsonb_build_array('CANARY(j)' || n))),
       json_build_object('mail', 'CANARY(k)' || n || '@json.example'), array['CANARY(l)' || n, 'CANARY(m)' || n],
       row('mail', 'CANARY(n)' || n)::contact, tstzrange(timestamptz '1972-02-03 04:05:06+00' + n * interval '41 days', timestamptz '1973-02-03 04:05:06+00' + n * interval '43 days'),
       'fine', 'rang on monday, write to CANARY(o)' || n || '@notes.example or to CANARY(p)' || n || '@notes.example about it'
from generate_series(1, 40) n;

create table public.orders (id int primary key, customer_id int not null references customers, total numeric(12, 2) not null, placed date not null, status text not null);
insert into orders select n, n % 40 + 1, n * 3.25, date '2024-01-01' + n, case when n % 4 = 0 then 'open' else 'paid' end from generate_series(1, 400) n;

create table public.events (id int, day date, body text) partition by range (day);
create table events_2024 partition of events for values from ('2024-01-01') to ('2025-01-01');
create table events_2025 partition of events for values from ('2025-01-01') to ('2026-01-01');
insert into events select n, date '2024-06-01' + n, 'login of CANARY(q)' || n || '@events.example from desk ' || n from generate_series(1, 300) n;

create table hr.people (id int primary key, email text, salary int not null, manager_id int);
create table hr.managers (bonus int) inherits (hr.people);
insert into hr.people select n, 'CANARY(r)' || n || '@hr.example', 50000 + n, nullif(n / 3, 0) from generate_series(1, 20) n;
insert into hr.managers select 100 + n, 'CANARY(s)' || n || '@hr.example', 90000 + n, null, n from generate_series(1, 5) n;
comment on column hr.people.email is 'work address [pii.email]';

create view customer_list as select c.id, c.name, c.email, r.name as region from customers c join regions r on r.id = c.region_id;
create view contactable as select id, upper(email) as shout, phone from customer_list join lateral (select phone from customers where customers.id = customer_list.id) p on true;
create materialized view customer_copy as select id, name, email, card from customers;
create function public.mail_of(int) returns text language sql stable as 'select email from public.customers where id = $1';
create function public.mails() returns setof text language sql stable as 'select email from public.customers';
create function public.shout(text) returns text language sql immutable as 'select upper($1)';
create function public.fail_with(text) returns int language plpgsql as 'begin raise exception ''value %'', $1; end';
create function public.note(text) returns int language plpgsql as 'begin raise notice ''value %'', $1; return 1; end';
create table public.journal (id int, what text);
create table public.mail_log (id int, email text);
analyze;
