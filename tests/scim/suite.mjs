// People of an issuer whose directory is kept current by SCIM, in psql. Prints "ok NAME" or "not ok NAME", then "N passed, N failed".
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { generateKeyPairSync, sign } from 'node:crypto';
import { appendFileSync, existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { World, play } from './world.mjs';

const ISSUER = 'https://corp.example';
const TOKEN = 'a-token-of-the-directory-of-more-than-32-bytes';
const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
/** A token of the issuer. It claims to be in a group of its own, which nobody must believe. */
const token = (sub, more = {}) => {
  const now = Math.floor(Date.now() / 1000);
  const claims = { iss: ISSUER, sub, aud: 'gw', iat: now, exp: now + 3600, preferred_username: sub, groups: ['analysts'], provisioned_groups: ['analysts'], ...more };
  const text = `${part({ alg: 'ES256', typ: 'JWT', kid: 'k' })}.${part(claims)}`;
  return `${text}.${sign('sha256', Buffer.from(text), { key: privateKey, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`;
};

class ScimWorld extends World {
  async serve() {
    const config = join(this.data, 'countersign.toml');
    // The demo writes its files when it is first started.
    if (existsSync(config) && !this.configured) {
      this.configured = true;
      const keys = join(this.dir, 'jwks.json');
      const secret = join(this.dir, 'scim-token');
      writeFileSync(keys, JSON.stringify({ keys: [{ ...publicKey.export({ format: 'jwk' }), kid: 'k', alg: 'ES256' }] }));
      writeFileSync(secret, TOKEN, { mode: 0o600 });
      appendFileSync(config, `
[[issuer]]
label = "corp"
url = "${ISSUER}"
audiences = ["gw"]
jwks_file = "${keys}"
name_claim = "preferred_username"
groups_claim = "groups"
groups_prefix = ""

[[scim]]
issuer = "corp"
token = { file = "${secret}" }
`);
    }
    return super.serve();
  }

  /** psql that is asked something, with this token as the password. */
  ask(user, password, statement) {
    const where = `host=localhost port=${this.port} dbname=shop user=${user} sslmode=verify-full sslrootcert=${join(this.data, 'gateway-ca.pem')}`;
    const env = { ...this.environment(user), PGPASSWORD: password };
    const process = spawn('psql', [where, '-X', '-A', '-t', '-c', statement], { env });
    const ran = { said: '' };
    for (const stream of [process.stdout, process.stderr]) stream.on('data', (p) => (ran.said += p));
    ran.ended = new Promise((resolve) => process.on('close', (code) => resolve({ code, said: ran.said })));
    return ran;
  }
}

const world = new ScimWorld();
await world.start();
const scim = async (method, path, body, bearer = TOKEN) => {
  const options = { method, headers: { authorization: `Bearer ${bearer}`, 'content-type': 'application/scim+json' } };
  if (body) options.body = JSON.stringify(body);
  const answer = await fetch(`${world.base}/scim/v2${path}`, options);
  const text = await answer.text();
  return { status: answer.status, body: text ? JSON.parse(text) : null, headers: answer.headers };
};
const patch = (path, ...Operations) => scim('PATCH', path, { schemas: ['urn:ietf:params:scim:api:messages:2.0:PatchOp'], Operations });
const made = async (path, body) => {
  const { status, body: entry } = await scim('POST', path, body);
  assert.equal(status, 201, JSON.stringify(entry));
  return entry;
};
// Analysts read and no more: the rows of a join without end, counted.
const SLOW = `select count(*) from ${[...'abcdefghijkl'].map((n) => `products ${n}`).join(', ')}`;
const COUNT = 'select count(*) > 0 from products';

const cases = [];
const test = (name, act) => cases.push([name, act]);
let group;
const joins = async (name) => {
  const user = await made('/Users', { userName: `${name}@corp.example`, externalId: name, active: true });
  const { status } = await patch(`/Groups/${group.id}`, { op: 'Add', path: 'members', value: [{ value: user.id }] });
  assert.equal(status, 200);
  return user;
};
const works = async (name, password = token(name)) => {
  const { code, said } = await world.ask(name, password, COUNT).ended;
  assert.equal(code, 0, said);
};
const refused = async (name, password, want = /disabled|not accepted|changed|FATAL|denied/i) => {
  const { code, said } = await world.ask(name, password, COUNT).ended;
  assert.notEqual(code, 0, said);
  assert.match(said, want);
};
// A session with a statement that takes long, and is at it.
const atIt = async (ran) => {
  await new Promise((resolve) => setTimeout(resolve, 3_000));
  const first = await Promise.race([ran.ended, Promise.resolve(null)]);
  assert.equal(first, null, first?.said);
  return ran;
};
const session = (name, password) => atIt(world.ask(name, password, SLOW));
const cutOff = async (ran) => {
  const late = new Promise((resolve) => setTimeout(() => resolve(null), 20_000));
  const ended = await Promise.race([ran.ended, late]);
  assert.ok(ended, 'the session goes on');
  assert.notEqual(ended.code, 0, ended.said);
};

test('the door is for its token alone', async () => {
  assert.equal((await scim('GET', '/Users', null, 'wrong-token-of-the-directory-of-32-bytes')).status, 401);
  const bare = await fetch(`${world.base}/scim/v2/Users`);
  assert.equal(bare.status, 401);
  assert.match(bare.headers.get('www-authenticate'), /Bearer/);
  assert.equal((await fetch(`${world.base}/scim/v2/Users`, { headers: { origin: 'https://evil.example', authorization: `Bearer ${TOKEN}` } })).status, 403);
  assert.equal((await scim('POST', '/Users', { userName: 'x'.repeat(256 * 1024) })).status, 413);
  const config = await scim('GET', '/ServiceProviderConfig');
  assert.equal(config.headers.get('content-type'), 'application/scim+json');
  assert.equal(config.body.patch.supported, true);
  group = await made('/Groups', { displayName: 'analysts' });
});

test('adv_090 who is not in the directory does not come in, and groups are those of the directory', async () => {
  const password = token('mia');
  await refused('mia', password);
  const user = await made('/Users', { userName: 'mia@corp.example', externalId: 'mia' });
  // The token claims the group; the directory does not know of it.
  await refused('mia', token('mia'), /denied|not permitted|polic/i);
  await patch(`/Groups/${group.id}`, { op: 'add', path: 'members', value: [{ value: user.id }] });
  await works('mia');
});

test('adv_090 a group that is taken away ends the session, and the same token comes in with what is left', async () => {
  const user = await joins('bo');
  const password = token('bo');
  await works('bo', password);
  const ran = await session('bo', password);
  await patch(`/Groups/${group.id}`, { op: 'remove', path: `members[value eq "${user.id}"]` });
  await cutOff(ran);
  await refused('bo', password, /denied|not permitted|polic/i);
  await patch(`/Groups/${group.id}`, { op: 'Add', path: 'members', value: [{ value: user.id }] });
  await works('bo', password);
});

test('adv_090 somebody who is switched off is cut off, and comes in no more until switched on', async () => {
  const user = await joins('cy');
  const password = token('cy');
  const ran = await session('cy', password);
  const { body } = await patch(`/Users/${user.id}`, { op: 'Replace', path: 'active', value: 'False' });
  assert.equal(body.active, false);
  await cutOff(ran);
  await refused('cy', password);
  await refused('cy', token('cy'));
  await patch(`/Users/${user.id}`, { op: 'replace', value: { active: true } });
  await works('cy', password);
});

test('adv_090 somebody who is removed is cut off, and their login with them', async () => {
  const user = await joins('dee');
  const env = world.environment('dee');
  const gateway = ['--gateway', world.base.replace('http:', 'https:'), '--ca', join(world.data, 'gateway-ca.pem')];
  const run = (...args) => {
    const process = spawn(process_binary, args, { env: { ...env, TOKEN: token('dee') } });
    const ran = { said: '' };
    for (const stream of [process.stdout, process.stderr]) stream.on('data', (p) => (ran.said += p));
    ran.ended = new Promise((resolve) => process.on('close', (code) => resolve({ code, said: ran.said })));
    return ran;
  };
  const process_binary = process.env.COUNTERSIGN;
  const login = await run('login', '--workload', '--token-env', 'TOKEN', ...gateway).ended;
  assert.equal(login.code, 0, login.said);
  const before = await run('connect', 'shop', '--', 'psql', '-X', '-A', '-t', '-c', COUNT).ended;
  assert.equal(before.code, 0, before.said);
  const ran = run('connect', 'shop', '--', 'psql', '-X', '-c', SLOW);
  await atIt(ran);
  assert.equal((await scim('DELETE', `/Users/${user.id}`)).status, 204);
  await cutOff(ran);
  const after = await run('connect', 'shop', '--', 'psql', '-X', '-A', '-t', '-c', COUNT).ended;
  assert.notEqual(after.code, 0, after.said);
  // Somebody new under the same name has nothing of the old one's login.
  await joins('dee');
  const again = await run('connect', 'shop', '--', 'psql', '-X', '-A', '-t', '-c', COUNT).ended;
  assert.notEqual(again.code, 0, again.said);
  await works('dee');
});

const failed = await play(cases);
await world.end();
console.log(`${cases.length - failed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);
