// The conformance set in node-pg: each case on a connection of its own, answers as JSON lines on stdout.
'use strict';

const crypto = require('crypto');
const fs = require('fs');
const { once } = require('events');
const { pipeline } = require('stream/promises');
const { Readable } = require('stream');
const pg = require('pg');
const Cursor = require('pg-cursor');
const QueryStream = require('pg-query-stream');
const { from: copyFrom, to: copyTo } = require('pg-copy-streams');

const way = JSON.parse(fs.readFileSync(process.argv[2], 'utf8'));
const only = process.argv.slice(3);
const cases = [];
const add = (name, run) => cases.push({ name, run });

function options(extra) {
  const ssl = way.sslmode === 'disable' ? false : { ca: fs.readFileSync(way.cafile, 'utf8') };
  return Object.assign({ host: way.host, port: way.port, user: way.user, password: way.password, database: way.dbname, ssl }, extra);
}

async function connect(extra) {
  const client = new pg.Client(options(extra));
  client.on('error', () => {});
  await client.connect();
  return client;
}

function show(v) {
  if (v === undefined) return 'undefined';
  if (v === null || typeof v === 'boolean') return v;
  if (Buffer.isBuffer(v)) return v.length > 200 ? `buffer ${v.length} ${crypto.createHash('sha256').update(v).digest('hex')}` : `buffer ${v.toString('hex')}`;
  if (typeof v === 'string') return v.length > 2000 ? `string ${v.length} ${crypto.createHash('sha256').update(v).digest('hex')}` : v;
  if (typeof v === 'number' || typeof v === 'bigint') return `number ${Object.is(v, -0) ? '-0' : v}`;
  if (v instanceof Date) return `date ${Number.isNaN(v.getTime()) ? 'invalid' : v.toISOString()}`;
  if (Array.isArray(v)) return v.map(show);
  if (typeof v === 'object') return Object.fromEntries(Object.entries(v).map(([k, x]) => [k, show(x)]));
  return String(v);
}

const described = (r) => (Array.isArray(r) ? r.map(described) : { command: r.command, count: r.rowCount, rows: r.rows,
  fields: r.fields.map((f) => [f.name, f.tableID, f.columnID, f.dataTypeID, f.dataTypeSize, f.dataTypeModifier, f.format]) });

async function failure(promise) {
  try {
    return { 'no error': described(await promise) };
  } catch (e) {
    if (!e.code || !e.severity) throw e;
    const keep = ['code', 'severity', 'message', 'detail', 'hint', 'position', 'table', 'column', 'constraint', 'dataType', 'where', 'routine'];
    // Errors that the gateway may answer by itself: where in the server's source they were raised is not compared.
    const byGateway = ['42601', '26000'].includes(e.code);
    return Object.fromEntries(keep.filter((k) => !(byGateway && k === 'routine')).map((k) => [k, e[k]]));
  }
}

add('simple_and_extended', async (c) => [
  described(await c.query("select 1 as one, 'zwei' as two, null as three")),
  described(await c.query('select $1::int + 1 as a, $2::text as b', [41, 'x'])),
  described(await c.query({ text: 'select id, name from customers where id < $1 order by id', values: [4], rowMode: 'array' })),
]);

add('text_and_binary', async (c) => {
  const columns = 'i2, i4, f4, f8, t, vc, by, b, ts, tstz, ia, ta, m, u, ip';
  return [
    described(await c.query('select * from every_type order by id')),
    described(await c.query({ text: 'select i2, i4, f4, f8, num, t, vc, b, ts, tstz from every_type order by id', values: [], binary: true })),
    described(await c.query(`select ${columns} from every_type where id > $1 order by id`, [0])),
  ];
});

add('parameters', async (c) => {
  const out = [];
  for (const [type, value] of [['int4', 5], ['int8', '1099511627776'], ['float8', 1.25], ['text', 'ä€漢🐘'], ['bytea', Buffer.from([0, 255])],
    ['bool', true], ['timestamptz', new Date('2026-01-02T03:04:05Z')], ['jsonb', { a: [1, null] }], ['int4[]', [1, null, 3]],
    ['text[]', ['a,b', 'c"d']], ['uuid', '00112233-4455-6677-8899-aabbccddeeff'], ['text', null], ['mood', 'ok']]) {
    out.push(described(await c.query(`select $1::${type} as v, pg_typeof($1::${type})::text as t`, [value])));
  }
  return out;
});

add('named_statements_reused', async (c) => {
  const out = [];
  for (let i = 1; i <= 12; i++) out.push(described(await c.query({ name: 'by id', text: 'select name from customers where id = $1', values: [i] })));
  out.push(await failure(c.query({ name: 'broken', text: 'select nothing from nowhere', values: [] })));
  out.push(described(await c.query({ name: 'broken', text: 'select nothing from nowhere', values: [] }).catch((e) => ({ command: e.code, fields: [] }))));
  return out;
});

add('queued_queries', async (c) => {
  const results = await Promise.allSettled([...Array(200).keys()].map((i) => c.query('select 100 / $1::int as q', [i % 50])));
  return results.map((r) => (r.status === 'fulfilled' ? r.value.rows[0].q : r.reason.code));
});

add('multi_statement', async (c) => [
  described(await c.query("select 1 as a; insert into notes values (50, 'fifty'); select body from notes where id = 50; delete from notes where id = 50")),
  await failure(c.query("insert into notes values (51, 'x'); select 1/0")),
  described(await c.query('select count(*) from notes where id = 51')),
]);

add('cursor_and_stream', async (c) => {
  const out = [];
  const cursor = c.query(new Cursor('select id, name from customers order by id'));
  out.push(await cursor.read(3), (await cursor.read(500)).length, await cursor.read(2));
  await cursor.close();
  let sum = 0;
  for await (const row of c.query(new QueryStream('select id from orders order by id', [], { batchSize: 70 }))) sum += row.id;
  out.push(sum);
  const broken = c.query(new Cursor('select 1 / (3 - g) from generate_series(1, 5) g'));
  out.push(await broken.read(10).catch((e) => e.code));
  out.push(described(await c.query("select 'usable'")));
  return out;
});

add('copy', async (c) => {
  const out = [];
  for (const form of ['text', 'csv', 'binary']) {
    const chunks = [];
    const source = c.query(copyTo(`copy (select * from every_type order by id) to stdout (format ${form})`));
    source.on('data', (d) => chunks.push(d));
    await once(source, 'end');
    out.push(Buffer.concat(chunks));
  }
  const sink = c.query(copyFrom('copy notes from stdin'));
  await pipeline(Readable.from([...Array(50000).keys()].map((i) => `${1000 + i}\tnote ${i}\n`)), sink);
  out.push(sink.rowCount, described(await c.query('select count(*), sum(length(body)) from notes')));
  const bad = c.query(copyFrom('copy notes from stdin'));
  out.push(await pipeline(Readable.from(['1\tduplicate\n']), bad).then(() => 'fine', (e) => [e.code, e.detail]));
  out.push(described(await c.query('delete from notes where id >= 1000')));
  return out;
});

add('transactions_and_savepoints', async (c) => {
  const out = [];
  for (const text of ['begin', "insert into notes values (70, 'a')", 'savepoint s', "insert into notes values (70, 'again')", 'select 1',
    'rollback to s', 'select id from notes where id = 70', 'release s', 'rollback', 'select id from notes where id = 70', 'commit',
    'begin isolation level serializable read only', "insert into notes values (71, 'x')", 'rollback and chain', 'select 1', 'commit']) {
    out.push([text, await failure(c.query(text))]);
  }
  return out;
});

add('notices_and_notifications', async (c) => {
  const notices = [];
  const heard = [];
  c.on('notice', (n) => notices.push([n.severity, n.code, n.message, n.hint]));
  c.on('notification', (n) => heard.push([n.channel, n.payload]));
  await c.query("do $$ begin raise notice 'hello %', 1; raise warning 'careful' using hint = 'a hint'; end $$");
  await c.query('listen news');
  await c.query("notify news, 'first'");
  await c.query("select pg_notify('news', 'second')");
  await c.query('select 1');
  return [notices, heard];
});

add('parameter_status', async (c) => {
  const seen = [];
  c.connection.on('parameterStatus', (m) => seen.push([m.parameterName, m.parameterValue]));
  await c.query("set application_name = 'renamed'");
  await c.query("set timezone = 'Asia/Tokyo'");
  const other = await connect({ application_name: 'from the start' });
  const name = described(await other.query('show application_name'));
  await other.end();
  return [seen, name];
});

add('errors', async (c) => {
  const out = [];
  for (const text of ['selekt 1', 'select nothing', 'select 1/0', "select 'x'::int", "insert into customers values (1, 'again')",
    'insert into notes values (null)', 'select 101::percent', 'select f(1)', 'select $1', "select 'ä€' || syntax error here"]) {
    out.push([text, await failure(c.query(text)), await failure(c.query({ text, values: text.includes('$1') ? ['x'] : [], queryMode: 'extended' }))]);
  }
  out.push(await failure(c.query('select $1::int', ['not a number'])), described(await c.query("select 'usable'")));
  return out;
});

add('cancel', async (c) => {
  const started = Date.now();
  const query = new pg.Query('select pg_sleep(30)');
  const ended = new Promise((done) => query.on('error', (e) => done(e.code)).on('end', () => done('ended')));
  c.query(query);
  await new Promise((r) => setTimeout(r, 300));
  const killer = new pg.Client(options());
  killer.on('error', () => {});
  killer.cancel(c, query);
  return [await ended, Date.now() - started < 10000, described(await c.query("select 'usable'"))];
});

add('big_result', async (c) => {
  const hash = crypto.createHash('sha256');
  let count = 0;
  for await (const row of c.query(new QueryStream("select g, md5(g::text) as m from generate_series(1, 1000000) g", [], { batchSize: 5000 }))) {
    count += 1;
    if (count % 1000 === 0) hash.update(JSON.stringify(row));
  }
  return [count, hash.digest('hex')];
});

add('large_values', async (c) => [
  described(await c.query("select repeat('0123456789', 5000000) as big")),
  described(await c.query("select length('" + 'x'.repeat(9 << 20) + "')")),
  described(await c.query('select $1::text as v', ['y'.repeat(9 << 20)])),
]);

add('empty_query_and_names', async (c) => [
  described(await c.query('')), described(await c.query(';')), described(await c.query({ text: '-- nothing', values: [] })),
  described(await c.query('select * from "Weird ""Name"" – 表" order by 1')),
  described(await c.query('select 1 as "🐘", 2 as "a ""b"""')),
]);

add('pool', async () => {
  const pool = new pg.Pool(options({ max: 8 }));
  const sums = await Promise.all([...Array(100).keys()].map((i) => pool.query('select $1::int * 2 as d', [i]).then((r) => r.rows[0].d)));
  await pool.end();
  return sums;
});

(async () => {
  for (const { name, run } of cases) {
    if (only.length && !only.includes(name)) continue;
    let line;
    try {
      const client = await connect();
      try {
        line = { case: name, out: show(await run(client)) };
      } finally {
        await client.end();
      }
    } catch (e) {
      line = { case: name, crash: `${e.code || ''} ${e.stack}` };
    }
    process.stdout.write(JSON.stringify(line) + '\n');
  }
})();
