"""Statements that must be denied, each with the effect it would have: rows 9 to 17 and 22 to 31 of the adversarial list.

`effect` is SQL that the harness asks the server itself, as its superuser: "t" means that the attack worked. With
--control every attack is played straight at the server first, so that a test which could not fail is found out.
"""

import dataclasses

# Where files that attacks would write end up; the runner fills it in.
FILE = "@FILE@"


@dataclasses.dataclass
class Attack:
    """One attack. `steps` run in order on one session; the last is the one that must be denied, unless `any_step`."""

    name: str
    steps: list
    effect: str = ""
    account: str = "ana"
    any_step: bool = False
    forms: tuple = ("simple", "extended")
    states: tuple = ("42501",)


def attack(name, *steps, effect="", **more):
    """Short for Attack."""
    return Attack(name, list(steps), effect, **more)


STAFF_GONE = "select to_regclass('staff') is null"
STAFF_LESS = "select count(*) < 50 from staff"
MARKED = "select count(*) > 0 from audit_log"
NOTES_CHANGED = "select md5(string_agg(n::text, ',' order by id)) is distinct from md5('(1,one),(2,zwei),(3,три)') from notes n"
FILE_THERE = f"select count(*) > 0 from pg_ls_dir('@FOLDER@') f where f = 'attack'"


def relation(name):
    """True when the relation exists."""
    return f"select to_regclass('{name}') is not null"


def function(name):
    """True when a function or procedure of that name exists."""
    return f"select exists (select from pg_proc where proname = '{name}')"


ONE_FORM = ("simple",)
# A text that no grammar takes is told as the server would tell it; it is denied all the same.
UNREADABLE = ("42501", "42601")

# What the harness lays out as the server's owner before the attacks: traps that some earlier change might have left.
TRAPS = """
create extension dblink;
create schema evil;
create function evil.mark() returns int language sql volatile as 'insert into public.audit_log (what) values (''evil'') returning 1';
create function evil.abs(int) returns int language sql volatile as 'insert into public.audit_log (what) values (''abs'') returning $1';
create function evil.lower(text) returns text language sql volatile as 'insert into public.audit_log (what) values (''lower'') returning $1';
create function public.upper(name) returns text language sql volatile as 'insert into public.audit_log (what) values (''upper'') returning ''U''';
create function evil.plus(int, int) returns int language sql volatile as 'insert into public.audit_log (what) values (''plus'') returning $1';
create operator evil.@#@ (leftarg = int, rightarg = int, function = evil.plus);
create operator evil.+ (leftarg = int, rightarg = int, function = evil.plus);
create type evil.boxed as (v int);
create function evil.box(int) returns evil.boxed language sql volatile as 'insert into public.audit_log (what) values (''box'') returning row($1)::evil.boxed';
create cast (int as evil.boxed) with function evil.box(int);
create function evil.fine(int) returns bool language sql volatile as 'insert into public.audit_log (what) values (''check'') returning true';
create domain evil.checked as int check (evil.fine(value));
create view evil.trap as select evil.mark() as x;
create table public.wages as select * from public.staff;
create view evil.wages_view as select * from public.wages;
create function evil.step(int, int) returns int language sql volatile as 'insert into public.audit_log (what) values (''step'') returning 1';
create aggregate evil.total (int) (sfunc = evil.step, stype = int, initcond = '0');
create table evil.notes (id int primary key, body text);
create table evil.guarded (id int);
insert into evil.guarded values (1);
alter table evil.guarded enable row level security, force row level security;
create policy p on evil.guarded using (evil.mark() = 1);
create function evil.variadic(variadic int[]) returns int language sql volatile as 'insert into public.audit_log (what) values (''variadic'') returning 1';
create function evil.nick(public.notes) returns text language sql volatile as 'insert into public.audit_log (what) values (''dot'') returning ''x''';
create function evil.harmless_looking(int default evil.mark()) returns int language sql immutable as 'select $1';
create sequence counter;
create publication already;
truncate audit_log;
"""

ATTACKS = {
    "adv_009_multi_statement": [
        attack("drop behind a select", "select 1; drop table staff", effect=STAFF_GONE, forms=ONE_FORM),
        attack("drop before a select", "drop table staff; select 1", effect=STAFF_GONE, forms=ONE_FORM),
        attack("delete behind commit", "commit; delete from staff", effect=STAFF_LESS, forms=ONE_FORM),
        attack("delete between begin and commit", "begin; delete from staff; commit", effect=STAFF_LESS, forms=ONE_FORM),
        attack("delete behind an empty statement", ";;; delete from staff;;", effect=STAFF_LESS, forms=ONE_FORM),
        attack("the hundredth of a hundred", "select 1;" * 99 + "delete from staff", effect=STAFF_LESS, forms=ONE_FORM),
        attack("in an open transaction", "begin", "select 1; delete from staff; commit", effect=STAFF_LESS, forms=ONE_FORM),
    ],
    "adv_010_comments": [
        attack("leading", "/* select 1 */ drop table staff", effect=STAFF_GONE),
        attack("nested", "/* a /* b */ c */ drop table staff", effect=STAFF_GONE),
        attack("line", "-- select 1\ndrop table staff -- where false", effect=STAFF_GONE),
        attack("a line ended by a carriage return", "-- select 1\rdrop table staff", effect=STAFF_GONE),
        attack("a line comment in a block", "/* -- */ drop table staff", effect=STAFF_GONE),
        attack("between the words", "drop/**/table/* x */staff", effect=STAFF_GONE),
        attack("a quote in a comment", "/* ' */ drop table staff /* ' */", effect=STAFF_GONE),
        attack("a comment sign in a string", "select '/*'; drop table staff; select '*/'", effect=STAFF_GONE, forms=ONE_FORM),
        attack("a comment sign in a dollar quote", "select $a$/*$a$; drop table staff --*/", effect=STAFF_GONE, forms=ONE_FORM),
        attack("a comment sign in a quoted name", "select 1 as \"/*\"; drop table staff --*/", effect=STAFF_GONE, forms=ONE_FORM),
        attack("an operator that holds a comment", "select 1 @--\n; drop table staff", forms=ONE_FORM, states=UNREADABLE),
        attack("a comment that is not closed", "drop table staff /*", forms=ONE_FORM, states=UNREADABLE),
    ],
    "adv_011_do_and_routines": [
        attack("do", "do $$ begin delete from staff; end $$", effect=STAFF_LESS),
        attack("do with a language", "do language plpgsql 'begin delete from staff; end'", effect=STAFF_LESS),
        attack("create function", "create function made() returns int language sql as 'select 1'", effect=function("made")),
        attack("create or replace", "create or replace function add_one(int) returns int language sql as 'select 666'", effect="select add_one(1) = 666"),
        attack("create procedure", "create procedure made() language sql as 'delete from staff'", effect=function("made")),
        attack("create rule", "create rule r as on insert to notes do also delete from staff", effect="select exists (select from pg_rewrite where rulename = 'r')"),
        attack("create trigger", "create trigger t before insert on notes for each row execute function suppress_redundant_updates_trigger()", effect="select exists (select from pg_trigger where tgname = 't')"),
        attack("call", "call mark_twice('called')", effect=MARKED),
        attack("create aggregate", "create aggregate made (int) (sfunc = int4pl, stype = int)", effect=function("made")),
        attack("alter function", "alter function add_one(int) volatile", effect="select provolatile = 'v' from pg_proc where proname = 'add_one'"),
    ],
    "adv_012_dynamic_text": [
        attack("execute in do", "do $$ begin execute 'dr' || 'op table staff'; end $$", effect=STAFF_GONE),
        attack("prepare of a delete", "prepare p as delete from staff", "execute p", effect=STAFF_LESS, any_step=True, states=("42501", "26000")),
        attack("prepare with parameters", "prepare p (int) as delete from staff where id = $1", "execute p (1)", effect=STAFF_LESS, any_step=True, states=("42501", "26000")),
        attack("execute as explain analyze", "prepare p as delete from staff; explain analyze execute p", effect=STAFF_LESS, forms=ONE_FORM),
        attack("execute into a table", "prepare p as select * from staff; create table stolen as execute p", effect=relation("stolen"), forms=ONE_FORM),
        attack("execute of an argument that writes", "prepare p (int) as select $1", "execute p (leave_mark('x'))", effect=MARKED),
        attack("query_to_xml", "select query_to_xml('select leave_mark(''x'')', true, true, '')", effect=MARKED),
        attack("ts_stat", "select * from ts_stat('select tsv from every_type where (select leave_mark(''x'')) > 0')", effect=MARKED),
        attack("ts_rewrite", "select ts_rewrite('a'::tsquery, 'select ''a''::tsquery, ''b''::tsquery where leave_mark(''x'') > 0')", effect=MARKED),
    ],
    "adv_013_functions": [
        attack("a volatile function", "select leave_mark('x')", effect=MARKED),
        attack("in the where", "select 1 from notes where leave_mark('x') > 0", effect=MARKED),
        attack("in from", "select * from leave_mark('x')", effect=MARKED),
        attack("in a lateral join", "select * from notes n, lateral leave_mark(n.body)", effect=MARKED),
        attack("in order by", "select 1 from notes order by leave_mark(body)", effect=MARKED),
        attack("in limit", "select 1 from notes limit leave_mark('x')", effect=MARKED),
        attack("in a case", "select case when true then leave_mark('x') end", effect=MARKED),
        attack("in values", "values (leave_mark('x'))", effect=MARKED),
        attack("in a scalar subquery", "select (select leave_mark('x'))", effect=MARKED),
        attack("in exists", "select exists (select leave_mark('x') offset 0)"),
        attack("in an array", "select array[leave_mark('x')]", effect=MARKED),
        attack("in rows from", "select * from rows from (leave_mark('x'), generate_series(1, 2))", effect=MARKED),
        attack("in tablesample", "select * from notes tablesample system (leave_mark('x'))", effect=MARKED),
        attack("in a window", "select sum(leave_mark('x')) over () from notes", effect=MARKED),
        attack("in a filter", "select count(*) filter (where leave_mark('x') > 0) from notes", effect=MARKED),
        attack("in grouping", "select count(*) from notes group by leave_mark(body)", effect=MARKED),
        attack("by named notation", "select leave_mark(what => 'x')", effect=MARKED),
        attack("by its schema", "select public.leave_mark('x')", effect=MARKED),
        attack("by its database", "select @DATABASE@.public.leave_mark('x')", effect=MARKED),
        attack("by attribute notation", "set search_path = evil, public", "select n.nick from public.notes n", effect=MARKED),
        attack("hidden in a default argument", "select evil.harmless_looking()", effect=MARKED),
        attack("pg_read_file", "select pg_read_file('/etc/passwd')"),
        attack("pg_read_binary_file", "select pg_read_binary_file('PG_VERSION')"),
        attack("pg_ls_dir", "select * from pg_ls_dir('.')"),
        attack("pg_stat_file", "select * from pg_stat_file('PG_VERSION')"),
        attack("lo_export", f"select lo_export(0, '{FILE}')"),
        attack("lo_import", "select lo_import('/etc/passwd')", effect="select count(*) > 1 from pg_largeobject_metadata"),
        attack("dblink", "select * from dblink('host=@SOCKET@ port=@PORT@ dbname=@DATABASE@ user=postgres', 'delete from staff returning id') as t (id int)", effect=STAFF_LESS),
        attack("dblink_exec", "select dblink_exec('host=@SOCKET@ port=@PORT@ dbname=@DATABASE@ user=postgres', 'delete from staff')", effect=STAFF_LESS),
        attack("set_config", "select set_config('role', 'postgres', false)"),
        attack("nextval", "select nextval('counter')", effect="select is_called from counter"),
        attack("setval", "select setval('counter', 99)", effect="select last_value = 99 from counter"),
        attack("pg_terminate_backend", "select pg_terminate_backend(0)"),
        attack("pg_reload_conf", "select pg_reload_conf()"),
        attack("pg_rotate_logfile", "select pg_rotate_logfile()"),
        attack("pg_switch_wal", "select pg_switch_wal()"),
        attack("pg_create_restore_point", "select pg_create_restore_point('x')"),
        attack("pg_logical_emit_message", "select pg_logical_emit_message(false, 'a', 'b')"),
        attack("pg_create_physical_replication_slot", "select pg_create_physical_replication_slot('stolen')", effect="select count(*) > 0 from pg_replication_slots"),
        attack("pg_file_write of an extension that is not there", "select pg_file_write('x', 'y', false)"),
        attack("database_to_xml", "select database_to_xml(true, true, '')"),
        attack("table_to_xml", "select table_to_xml('staff', true, true, '')"),
        attack("cursor_to_xml", "select cursor_to_xml('nobody', 1, true, true, '')"),
        attack("an unknown function", "select not_there(1)", states=("42501", "42883")),
    ],
    "adv_014_writes_inside_reads": [
        attack("a delete in a CTE", "with d as (delete from staff returning *) select * from d", effect=STAFF_LESS),
        attack("an insert in a CTE", "with i as (insert into notes values (9, 'x') returning *) select * from i", effect=NOTES_CHANGED),
        attack("an update in a CTE that nobody reads", "with u as (update notes set body = 'x') select 1", effect=NOTES_CHANGED),
        attack("the second CTE of two", "with a as (select 1), d as (delete from staff returning 1) select * from a", effect=STAFF_LESS),
        attack("a CTE under a CTE", "with d as (with e as (select 1) delete from staff returning 1) select 1", effect=STAFF_LESS),
        attack("explain analyze", "explain analyze delete from staff", effect=STAFF_LESS),
        attack("explain (analyze)", "explain (verbose, analyze true) delete from staff", effect=STAFF_LESS),
        attack("explain (analyze) of a CTE", "explain (analyze) with d as (delete from staff returning 1) select 1", effect=STAFF_LESS),
        attack("explain analyze of a function", "explain analyze select leave_mark('x')", effect=MARKED),
        attack("select into", "select * into stolen from staff", effect=relation("stolen")),
        attack("create table as", "create table stolen as select * from staff", effect=relation("stolen")),
        attack("create materialized view", "create materialized view stolen as select * from staff", effect=relation("stolen")),
        attack("explain analyze create table as", "explain analyze create table stolen as select 1", effect=relation("stolen")),
        attack("merge", "merge into notes n using staff s on n.id = s.id when matched then delete", effect=NOTES_CHANGED),
        attack("truncate", "truncate staff", effect=STAFF_LESS),
        attack("insert", "insert into notes values (9, 'x')", effect=NOTES_CHANGED),
        attack("update", "update notes set body = 'x'", effect=NOTES_CHANGED),
        attack("insert on conflict", "insert into notes values (1, 'x') on conflict (id) do update set body = 'x'", effect=NOTES_CHANGED),
    ],
    "adv_015_copy": [
        attack("to program", f"copy staff to program 'touch {FILE}'", effect=FILE_THERE),
        attack("from program", f"copy notes from program 'touch {FILE}'", effect=FILE_THERE),
        attack("to a file", f"copy staff to '{FILE}'", effect=FILE_THERE),
        attack("from a file", "copy notes (body) from '/etc/hostname'"),
        attack("a delete to stdout", "copy (delete from staff returning id) to stdout", effect=STAFF_LESS, forms=ONE_FORM),
        attack("from stdin by a reader", "copy notes from stdin", forms=ONE_FORM),
        attack("a function to stdout", "copy (select leave_mark('x')) to stdout", effect=MARKED, forms=ONE_FORM),
        attack("to program by the machine", f"copy schema_migrations to program 'touch {FILE}'", effect=FILE_THERE, account="ci-deploy"),
    ],
    "adv_016_names": [
        attack("a shadowed function", "set search_path = evil, pg_catalog, public", "select abs(-1)", effect=MARKED),
        attack("a function with a better match", "select upper('x'::name)", effect=MARKED),
        attack("by SET in the same text", "set search_path = evil, pg_catalog; select lower('x')", effect=MARKED, forms=ONE_FORM),
        attack("by SET LOCAL", "begin", "set local search_path = evil, pg_catalog", "select lower('x'); commit", effect=MARKED, forms=ONE_FORM),
        attack("an operator", "select 1 operator(evil.@#@) 2", effect=MARKED),
        attack("a shadowed operator", "set search_path = evil, pg_catalog", "select 1 + 2", effect=MARKED),
        attack("a cast", "select (1)::evil.boxed", effect=MARKED),
        attack("a cast by function notation", "select cast(id as evil.boxed) from public.notes", effect=MARKED),
        attack("a domain with a check", "select 5::evil.checked", effect=MARKED),
        attack("a view over a function", "select * from evil.trap", effect=MARKED),
        attack("an aggregate", "select evil.total(id) from public.notes", effect=MARKED),
        attack("a variadic function", "select evil.variadic(1, 2, 3)", effect=MARKED),
        attack("a write through a view", "delete from evil.wages_view", effect="select count(*) < 50 from wages", account="ci-deploy"),
        attack("a table of the same name elsewhere", "insert into evil.notes values (1, 'x')", effect="select count(*) > 0 from evil.notes", account="ci-deploy"),
        attack("the same by search_path", "set search_path = evil", "insert into notes values (1, 'x')", effect="select count(*) > 0 from evil.notes", account="ci-deploy"),
        attack("a quoted name with a dot", "delete from \"public.notes\"", account="ci-deploy", states=("42501", "42P01")),
        attack("a temporary table over a real one", "create temp table staff (id int)", "delete from public.staff", effect=STAFF_LESS, account="ci-deploy", any_step=True),
        attack("a temporary view that writes", "create temp view schema_migrations as select * from staff", "delete from schema_migrations", effect=STAFF_LESS, account="ci-deploy", any_step=True),
    ],
    "adv_017_roles": [
        attack("set role", "set role postgres"),
        attack("set local role", "begin", "set local role postgres"),
        attack("set role none", "set role none"),
        attack("set session authorization", "set session authorization postgres"),
        attack("set role quoted", "set \"role\" = 'postgres'"),
        attack("set role to", "set role to 'postgres'"),
        attack("reset role", "reset role"),
        attack("reset session authorization", "reset session authorization"),
        attack("reset all", "reset all"),
        attack("discard all", "discard all", forms=ONE_FORM),
        attack("row_security", "set row_security = off"),
        attack("session_replication_role", "set session_replication_role = replica"),
        attack("in a multi-statement", "select 1; set role postgres; select 2", forms=ONE_FORM),
        attack("from current", "set role from current"),
        attack("reassign owned", "reassign owned by shop_app to postgres"),
        attack("session_preload_libraries", "set session_preload_libraries = 'x'"),
        attack("an unknown setting", "set my.setting = 'x'"),
    ],
    "adv_021_cursors": [
        attack("hold a function", "declare c cursor with hold for select leave_mark('x')", effect=MARKED),
        attack("a function at fetch", "begin", "declare c cursor for select leave_mark('x')", "fetch all from c; commit", effect=MARKED, any_step=True, forms=ONE_FORM, states=("42501", "25P02", "34000")),
        attack("where current of", "begin", "declare c cursor for select * from notes for update", "fetch 1 from c", "update notes set body = 'x' where current of c; commit", effect=NOTES_CHANGED, any_step=True, forms=ONE_FORM, states=("42501", "25P02", "34000")),
    ],
    "adv_022_large_objects": [
        attack("create", "select lo_create(4711)", effect="select count(*) > 1 from pg_largeobject_metadata"),
        attack("creat", "select lo_creat(-1)", effect="select count(*) > 1 from pg_largeobject_metadata"),
        attack("from_bytea", "select lo_from_bytea(4711, 'x')", effect="select count(*) > 1 from pg_largeobject_metadata"),
        attack("put", "select lo_put(4710, 0, 'overwritten')", effect="select lo_get(4710) = 'overwritten'"),
        attack("unlink", "select lo_unlink(4710)", effect="select not exists (select from pg_largeobject_metadata where oid = 4710)"),
        attack("get", "select lo_get(4710)"),
        attack("open and read", "begin", "select loread(lo_open(4710, 262144), 100)"),
        attack("the catalog itself", "select data from pg_largeobject"),
        attack("owner", "alter large object 4710 owner to postgres", effect="select pg_get_userbyid(lomowner) = 'postgres' from pg_largeobject_metadata where oid = 4710"),
    ],
    "adv_023_listen_notify": [
        attack("listen", "listen news", effect=""),
        attack("notify", "notify news, 'secret'"),
        attack("pg_notify", "select pg_notify('news', name) from staff"),
        attack("listen in a multi-statement", "select 1; listen news", forms=ONE_FORM),
    ],
    "adv_026_how_text_is_read": [
        attack("set client_encoding", "set client_encoding = 'GBK'"),
        attack("set names", "set names 'SQL_ASCII'"),
        attack("encoding for ana and dora alike", "set client_encoding to 'SJIS'", account="dora"),
        attack("set_config of it", "select set_config('client_encoding', 'GBK', false)"),
        attack("standard_conforming_strings", "set standard_conforming_strings = off"),
        attack("scs for dora", "set standard_conforming_strings to 'off'", account="dora"),
        attack("scs in a multi-statement", "set standard_conforming_strings = off; select 'a\\'; drop table staff; --'", effect=STAFF_GONE, forms=ONE_FORM),
        attack("U& names", "drop table U&\"st\\0061ff\"", effect=STAFF_GONE),
        attack("U& names with another escape", "drop table U&\"st!0061ff\" uescape '!'", effect=STAFF_GONE),
        attack("U& function", "select U&\"le\\0061ve_mark\"('x')", effect=MARKED),
        attack("E strings that end early", "select E'\\''; drop table staff; --'", effect=STAFF_GONE, forms=ONE_FORM),
        attack("a string that only looks escaped", "select 'a\\'; drop table staff; --'", effect=STAFF_GONE, forms=ONE_FORM),
        attack("dollar quotes that look nested", "select $a$ $b$ $a$; drop table staff; select $b$ $b$", effect=STAFF_GONE, forms=ONE_FORM),
        attack("upper case of another alphabet", "DROP TABLE ſtaff", states=("42501", "42P01")),
        attack("a no-break space", "drop\u00a0table staff", states=UNREADABLE),
        attack("form feeds for spaces", "drop\ftable\fstaff", effect=STAFF_GONE),
        attack("vertical tabs, which not every server version takes for spaces", "drop\vtable\vstaff", states=UNREADABLE),
    ],
    "adv_029_read_only_escape": [
        attack("read write after begin", "begin read only; set transaction read write; delete from staff; commit", effect=STAFF_LESS, forms=ONE_FORM),
        attack("begin read write", "begin read write; delete from staff; commit", effect=STAFF_LESS, forms=ONE_FORM),
        attack("a write in a transaction of one's own", "begin", "delete from staff; commit", effect=STAFF_LESS, forms=ONE_FORM),
        attack("session characteristics", "set session characteristics as transaction read write; delete from staff", effect=STAFF_LESS, forms=ONE_FORM),
        attack("the default", "set default_transaction_read_only = off"),
        attack("the setting", "set transaction_read_only = off"),
        attack("prepare transaction", "begin", "prepare transaction 'kept'", effect="select count(*) > 0 from pg_prepared_xacts", states=("42501",)),
    ],
    "adv_030_administration": [
        attack("alter system", "alter system set work_mem = '1GB'", effect="select count(*) > 0 from pg_file_settings where name = 'work_mem'"),
        attack("create extension", "create extension pg_trgm", effect="select exists (select from pg_extension where extname = 'pg_trgm')"),
        attack("create server", "create foreign data wrapper w", effect="select exists (select from pg_foreign_data_wrapper where fdwname = 'w')"),
        attack("event trigger", "create event trigger e on ddl_command_end execute function suppress_redundant_updates_trigger()"),
        attack("create role", "create role thief superuser login", effect="select exists (select from pg_roles where rolname = 'thief')"),
        attack("alter role", "alter role shop_app set search_path = evil", effect="select exists (select from pg_db_role_setting where setconfig::text like '%evil%')"),
        attack("grant", "grant all on staff to public", effect="select exists (select from information_schema.role_table_grants where grantee = 'PUBLIC' and table_name = 'staff')"),
        attack("alter default privileges", "alter default privileges grant all on tables to public", effect="select count(*) > 0 from pg_default_acl"),
        attack("create database", "create database stolen", effect="select exists (select from pg_database where datname = 'stolen')", forms=ONE_FORM),
        attack("alter table", "alter table staff add column x int", effect="select exists (select from information_schema.columns where table_name = 'staff' and column_name = 'x')"),
        attack("create table", "create table stolen (x int)", effect=relation("stolen")),
        attack("create schema", "create schema stolen create table t (x int)", effect=relation("stolen.t")),
        attack("create index", "create index stolen on staff (name)", effect=relation("stolen")),
        attack("create view", "create view stolen as select * from staff", effect=relation("stolen")),
        attack("publication", "create publication stolen for all tables", effect="select exists (select from pg_publication where pubname = 'stolen')"),
        attack("subscription", "create subscription s connection 'host=127.0.0.1' publication p with (connect = false)", effect="select exists (select from pg_subscription where subname = 's')"),
        attack("comment", "comment on table staff is 'x'", effect="select obj_description('staff'::regclass) is not null"),
        attack("load", "load 'auto_explain'"),
        attack("vacuum", "vacuum staff", forms=ONE_FORM),
        attack("lock table", "lock table staff"),
        attack("checkpoint", "checkpoint"),
        attack("drop owned", "drop owned by shop_app cascade", effect=STAFF_GONE),
        attack("secrets of the catalog", "select rolpassword from pg_authid"),
        attack("secrets by another way", "select * from pg_catalog.pg_shadow"),
        attack("others' statements", "select query from pg_stat_activity"),
        attack("samples of the data", "select most_common_vals from pg_stats"),
        attack("server files by a view", "select * from pg_hba_file_rules"),
        attack("settings of the server by a view", "select * from pg_file_settings"),
    ],
}
