// An installation with nothing in it: its pages lead to the first account, target, rule and session, and what they give to paste works.
import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { appendFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PASSWORD, until } from './world.mjs';

const binary = process.env.COUNTERSIGN;

const free = () => new Promise((resolve) => {
  const server = createServer().listen(0, '127.0.0.1', () => {
    const { port } = server.address();
    server.close(() => resolve(port));
  });
});

export const first = ({ test, world, open, sound }) => {
  // A role of the demo's database that no gateway knows yet.
  const role = (name, password) => {
    const port = /name = "shop"[^]*?port = (\d+)/.exec(readFileSync(join(world.data, 'countersign.toml'), 'utf8'))[1];
    const server = execFileSync('ps', ['-eo', 'args']).toString().split('\n').find((l) => /postgres -D/.test(l) && l.includes(` -p ${port}`));
    const data = /-D (\S+)/.exec(server)[1];
    const hba = join(data, 'pg_hba.conf');
    writeFileSync(hba, `hostssl all ${name} 127.0.0.1/32 scram-sha-256\n${readFileSync(hba, 'utf8')}`);
    const sql = `create role ${name} login password '${password}'; grant connect on database shop to ${name}; grant usage on schema public to ${name}; grant select on orders to ${name}; select pg_reload_conf()`;
    execFileSync('psql', ['-X', '-h', join(data, '..'), '-p', port, '-U', 'postgres', '-d', 'shop', '-c', sql]);
    return port;
  };
  const pasted = (page, label) => page.locator(`pre[aria-label="${label}"]`).first().textContent();
  const step = (page, title) => page.locator('.steps li', { has: page.locator('summary', { hasText: new RegExp(`^${title}`) }) });

  test('an empty installation leads to the first target, rule and session', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'countersign-first.'));
    const [api, listener] = [await free(), await free()];
    const [config, base] = [join(dir, 'countersign.toml'), `http://localhost:${api}`];
    writeFileSync(config, `[gateway]\ndata_dir = "data"\n[[listener]]\nprotocol = "postgres"\naddress = "127.0.0.1:${listener}"\n[api]\naddress = "127.0.0.1:${api}"\ntls = "generated"\n[local_issuer]\nurl = "${base}"\n[vault]\nkey = { file = "vault.key" }\n`);
    writeFileSync(join(dir, 'vault.key'), randomBytes(32).toString('base64'), { mode: 0o600 });
    const env = { ...world.environment('first'), COUNTERSIGN_CONFIG: config };
    const operate = (args, input = '') => execFileSync(binary, args, { env, input, cwd: dir, encoding: 'utf8' });
    const check = () => spawnSync(binary, ['config', 'check'], { env, cwd: dir, encoding: 'utf8' });
    // Without a rule of its own the gateway does not start, and says with which to begin.
    const without = check();
    assert.equal(without.status, 3, without.stdout + without.stderr);
    const rule = /permit \(principal in Group::"admins".*\);/.exec((without.stdout + without.stderr).replaceAll(/\s+/g, ' '))?.[0];
    assert.ok(rule, without.stdout + without.stderr);
    mkdirSync(join(dir, 'policies'));
    writeFileSync(join(dir, 'policies', 'admins.cedar'), `@id("admins-run-the-gateway")\n${rule}\n`);
    const warned = check();
    assert.equal(warned.status, 0, warned.stdout + warned.stderr);
    assert.match(warned.stdout + warned.stderr, /there is no \[\[target\]\]: nothing is guarded until one is applied/);
    assert.doesNotMatch(warned.stdout + warned.stderr, /nobody can use this listener/);
    const gateway = spawn(binary, ['gateway'], { env, cwd: dir });
    let said = '';
    for (const stream of [gateway.stdout, gateway.stderr]) stream.on('data', (part) => (said += part));
    try {
      await until('the empty gateway answers', async () => {
        if (gateway.exitCode !== null) throw new Error(said);
        return fetch(`${base}/healthz`).then((r) => r.ok, () => false);
      });
      operate(['accounts', 'add', 'anna', '--group=admins', '--secret-stdin'], PASSWORD);
      operate(['accounts', 'add', 'bert', '--secret-stdin'], PASSWORD);
      const enter = async (name) => {
        const b = await open();
        await b.page.goto(`${base}/console`);
        await b.page.getByRole('link', { name: 'Sign in with a local account' }).click();
        await b.page.getByLabel('Name').fill(name);
        await b.page.getByLabel('Password').fill(PASSWORD);
        await b.page.getByRole('button', { name: 'Sign in' }).click();
        await b.page.getByRole('heading', { name: 'Overview' }).waitFor();
        return b;
      };
      // Somebody whom no rule names is told what to ask for, and what to do where the gateway is theirs.
      const bert = await enter('bert');
      assert.match(await bert.page.locator('.guide').textContent(), /Nothing here is yours yet[^]*you have none[^]*admins-run-the-gateway/);
      await sound(bert.page, 'first-stranger');
      await bert.context.close();

      const { page, context } = await enter('anna');
      assert.deepEqual(await page.locator('.steps summary').allTextContents(), [
        'Let your people sign in can wait', 'Add the first target next', 'Let somebody use it ', 'Connect ',
      ]);
      await sound(page, 'first-steps');
      // The issuer to paste is one that the gateway takes.
      await page.getByText('Let your people sign in').click();
      assert.match(await step(page, 'Let your people sign in').textContent(), new RegExp(`${base}/console/callback`));
      const before = readFileSync(config, 'utf8');
      appendFileSync(config, await pasted(page, 'An issuer that speaks OpenID Connect'));
      const withIssuer = check();
      assert.equal(withIssuer.status, 0, withIssuer.stdout + withIssuer.stderr);
      writeFileSync(config, before);
      // Every empty page says what to do next.
      for (const [path, says] of [['/targets?everybody=true', 'write one that is applied'], ['/sessions', 'connect to a target'], ['/identities', 'overview']]) {
        await page.goto(`${base}/console${path}`);
        await page.locator('.empty').getByRole('link', { name: says }).first().waitFor();
      }
      // The target, as the page begins it, with what is true here.
      const port = role('first_reader', 'first secret');
      await page.goto(`${base}/console`);
      assert.equal(await pasted(page, 'The password, at the gateway'), 'countersign credentials set orders');
      operate(['credentials', 'set', 'orders'], 'first secret');
      await page.getByRole('link', { name: 'Write the target' }).click();
      assert.equal(await page.getByLabel('Path').inputValue(), 'targets/orders.toml');
      const ca = readFileSync(join(world.data, 'shop-ca.pem'), 'utf8').trim();
      const written = await page.getByLabel('Text', { exact: true }).inputValue();
      const mine = written.replace('"db.internal"', `"localhost"\nport = ${port}\ndatabase = "shop"`).replace('"countersign"', '"first_reader"')
        .replace('[[target.account]]', `[target.tls]\nmode = "verify-full"\nca_pem = """\n${ca}\n"""\n\n[[target.account]]`);
      await page.getByLabel('Text', { exact: true }).fill(mine);
      await page.getByText('Nothing is wrong with it.').waitFor();
      await page.getByRole('button', { name: 'Show what changes' }).click();
      await page.getByRole('button', { name: 'Apply', exact: true }).click();
      await page.getByText('Applied. It is in force here').waitFor();
      // Nobody may use it yet: that is the next step.
      await page.goto(`${base}/console`);
      assert.deepEqual((await page.locator('.steps summary').allTextContents()).slice(1), ['Add the first target done', 'Let somebody use it next', 'Connect ']);
      await page.getByRole('link', { name: 'Write the rule' }).click();
      assert.equal(await page.getByLabel('Path').inputValue(), 'policies/people.cedar');
      assert.match(await page.getByLabel('Text', { exact: true }).inputValue(), /Group::"admins"[^]*Target::"orders"/);
      await page.getByRole('button', { name: 'Show what changes' }).click();
      await page.getByRole('button', { name: 'Apply', exact: true }).click();
      await page.getByText('Applied. It is in force here').waitFor();
      await page.goto(`${base}/console`);
      assert.equal(await step(page, 'Connect').locator('summary').textContent(), 'Connect next');
      await sound(page, 'first-connect');
      // The lines to paste, as they are but for the program's path, and where a program's words are given.
      assert.equal(await pasted(page, 'Once'), `countersign login --gateway ${base.replace('http:', 'https:')} --ca gateway-ca.pem`);
      const line = await pasted(page, 'With your login');
      assert.equal(line, 'countersign connect orders -- psql');
      assert.match(await pasted(page, 'With a token as the password'), new RegExp(`psql "host=localhost port=${listener} dbname=orders user=anna sslmode=verify-full sslrootcert=gateway-ca.pem"`));
      const token = operate(['token', 'anna']).trim();
      execFileSync(binary, ['login', '--workload', '--token-env', 'TOKEN', '--gateway', base.replace('http:', 'https:'), '--ca', join(dir, 'data', 'gateway-ca.pem')], { env: { ...env, TOKEN: token } });
      const ran = spawnSync(binary, [...line.split(' ').slice(1), '-X', '-A', '-t', '-c', 'select count(*) > 0 from orders'], { env, encoding: 'utf8' });
      assert.equal(ran.stdout.trim(), 't', `${ran.stderr}\n${said.slice(-1500)}`);
      // And with a token as the password, as the page has it.
      const second = await pasted(page, 'With a token as the password');
      const byToken = spawnSync('sh', ['-c', `(echo 'select 42;'; sleep 3) | ${second} -X -A -t`], { env: { ...env, PGPASSWORD: operate(['token', 'anna']).trim() }, cwd: join(dir, 'data'), encoding: 'utf8' });
      assert.equal(byToken.stdout.trim(), '42', byToken.stderr);
      // The page has seen it: there are no first steps any more.
      await page.locator('.steps').waitFor({ state: 'detached', timeout: 30_000 });
      await context.close();
    } finally {
      const ended = new Promise((resolve) => gateway.on('exit', resolve));
      gateway.kill('SIGTERM');
      await ended;
      rmSync(dir, { recursive: true, force: true });
    }
  });
};
