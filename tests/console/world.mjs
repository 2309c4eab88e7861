// The demo (gateway, database, local issuer) with rules and people of its own, and psql that waits.
import { spawn, spawnSync, execFileSync } from 'node:child_process';
import { appendFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const START_MS = 120_000;
const binary = process.env.COUNTERSIGN;
export const PASSWORD = 'correct horse battery';

const POLICY = `
// Of tests/console.
@id("order-changes-need-two")
@review("reviewers:2; expires=10m")
forbid (principal in Group::"dbas", action == Action::"write", resource == Target::"shop")
when { context.relations_all.contains("public.orders") };

@id("prices-need-a-key")
@review("reviewers; factor=webauthn; expires=10m")
forbid (principal in Group::"dbas", action == Action::"write", resource == Target::"shop")
when { context.relations_all.contains("public.products") };

@id("payments-need-two-factors")
@review("reviewers:2; factor=totp; expires=10m")
forbid (principal in Group::"dbas", action == Action::"write", resource == Target::"shop")
when { context.relations_all.contains("public.payments") };

@id("campaigns-ask")
@grant("reviewers; for=1h")
permit (principal in Group::"marketing", action in [Action::"connect", Action::"read"], resource == Target::"shop");

@id("writers")
permit (principal in Group::"writers", action in [Action::"connect", Action::"read", Action::"write"], resource == Target::"shop");

@id("writers-need-a-look")
@review("reviewers; expires=10m")
forbid (principal in Group::"writers", action == Action::"write", resource == Target::"shop");

@id("reviewers-look")
permit (principal in Group::"reviewers", action == Action::"read", resource == Target::"countersign");
`;
const PEOPLE = { rita: ['reviewers'], rolf: ['reviewers'], dina: ['dbas'], mona: ['marketing'], olga: ['dbas'], nils: ['marketing'],
  sara: ['analysts'], sven: ['dbas'], wilma: ['writers'], rudi: ['reviewers'], uwe: [] };

export const until = async (what, check, ms = START_MS) => {
  const end = Date.now() + ms;
  for (;;) {
    const value = await check();
    if (value) return value;
    if (Date.now() > end) throw new Error(`${what}: not within ${ms / 1000} s`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
};

/** Plays cases, a name and what it does each, in their order, and says how each went; how many failed. */
export const play = async (cases, before = () => {}) => {
  let failed = 0;
  for (const [name, act] of cases) {
    try {
      before();
      await act();
      console.log(`ok ${name}`);
    } catch (error) {
      failed += 1;
      console.log(`not ok ${name}\n${error.stack}`);
    }
  }
  return failed;
};

export class World {
  async start() {
    this.dir = mkdtempSync(join(tmpdir(), 'countersign-console.'));
    this.data = join(this.dir, 'demo');
    // Once, so that the demo writes its files; then again with rules and people of our own.
    await this.serve();
    await this.stop();
    appendFileSync(join(this.data, 'policy.cedar'), POLICY);
    // Who is given access for a while goes on under an account, too.
    const config = join(this.data, 'countersign.toml');
    writeFileSync(config, readFileSync(config, 'utf8').replace('groups = ["analysts"]', 'groups = ["analysts", "marketing"]').replace('groups = ["dbas"]', 'groups = ["dbas", "writers"]'));
    for (const [name, groups] of Object.entries(PEOPLE)) {
      this.operate(['accounts', 'add', name, ...groups.map((g) => `--group=${g}`), '--secret-stdin'], PASSWORD);
    }
    await this.serve();
  }

  async serve() {
    this.said = '';
    this.process = spawn(binary, ['dev', '--data-dir', this.data], { env: this.environment('gateway') });
    for (const stream of [this.process.stdout, this.process.stderr]) stream.on('data', (part) => (this.said += part));
    this.link = await until('the demo is ready', () => {
      if (this.process.exitCode !== null) throw new Error(`the demo ended:\n${this.said}`);
      return /^ +(http\S+\/console\/enter\?code=\S+)$/m.exec(this.said)?.[1];
    });
    this.base = new URL(this.link).origin;
    const config = readFileSync(join(this.data, 'countersign.toml'), 'utf8');
    this.port = /\[\[listener\]\][^[]*?address = "127\.0\.0\.1:(\d+)"/.exec(config)[1];
  }

  async stop() {
    const ended = new Promise((resolve) => this.process.on('exit', resolve));
    this.process.kill('SIGTERM');
    await ended;
  }

  async end() {
    await this.stop();
    rmSync(this.dir, { recursive: true, force: true });
  }

  environment(whose) {
    const home = join(this.dir, `home-${whose}`);
    mkdirSync(home, { recursive: true });
    const keep = Object.entries(process.env).filter(([name]) => !/^(PG|XDG|COUNTERSIGN)/.test(name));
    return { ...Object.fromEntries(keep), HOME: home, XDG_CONFIG_HOME: home, BROWSER: '', DISPLAY: '' };
  }

  /** A command of an operator; what it says. */
  operate(args, input = '') {
    const config = join(this.data, 'countersign.toml');
    return execFileSync(binary, [...args, '--config', config], { input, env: this.environment('operator') }).toString();
  }

  /** Where this person has logged in on the command line. */
  login(who) {
    const env = this.environment(who);
    const token = this.operate(['token', who]).trim();
    const gateway = ['--gateway', this.base.replace('http:', 'https:'), '--ca', join(this.data, 'gateway-ca.pem')];
    execFileSync(binary, ['login', '--workload', '--token-env', 'TOKEN', ...gateway], { env: { ...env, TOKEN: token } });
    return env;
  }

  /** A command of this person's: its exit code, and what it says. */
  command(who, args) {
    const ran = spawnSync(binary, args, { env: this.login(who), input: '', encoding: 'utf8' });
    return { code: ran.status, said: ran.stdout + ran.stderr };
  }

  /** psql with a certificate of this person's, as a process that may wait. */
  psql(who, ...statements) {
    const env = this.login(who);
    const words = statements.flatMap((s) => ['-c', s]);
    const process = spawn(binary, ['connect', 'shop', '--', 'psql', '-X', '-A', '-t', ...words], { env });
    const ran = { said: '', code: null };
    for (const stream of [process.stdout, process.stderr]) stream.on('data', (part) => (ran.said += part));
    ran.ended = new Promise((resolve) => process.on('close', (code) => resolve((ran.code = code))));
    ran.kill = () => process.kill('SIGKILL');
    return ran;
  }

  /** psql with a certificate of this person's that is spoken with: `say` a statement, `end` it. */
  talk(who) {
    const process = spawn(binary, ['connect', 'shop', '--', 'psql', '-X', '-A', '-t'], { env: this.login(who) });
    const ran = { said: '', say: (statement) => process.stdin.write(`${statement};\n`), end: () => process.stdin.end() };
    for (const stream of [process.stdout, process.stderr]) stream.on('data', (part) => (ran.said += part));
    ran.ended = new Promise((resolve) => process.on('close', resolve));
    return ran;
  }

  /** A person of this world reads with the token as the password: what psql prints. */
  read(who, statement) {
    const where = `host=localhost port=${this.port} dbname=shop user=${who} sslmode=verify-full sslrootcert=${join(this.data, 'gateway-ca.pem')}`;
    const env = { ...this.environment(who), PGPASSWORD: this.operate(['token', who]).trim() };
    return execFileSync('psql', [where, '-X', '-A', '-t', '-c', statement], { env }).toString().trim();
  }
}
