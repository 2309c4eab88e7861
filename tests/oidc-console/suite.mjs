// People of an OpenID provider in the console, and thieves. Prints "ok NAME" or "not ok NAME", then "N passed, N failed".
import assert from 'node:assert/strict';
import { generateKeyPairSync, randomBytes, sign } from 'node:crypto';
import { appendFileSync, existsSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { Provider } from 'oidc-provider';
import { chromium } from 'playwright-core';
import { World, play } from './world.mjs';

const { CHROMIUM } = process.env;
const COOKIE = '__Host-countersign';
const CLIENT = 'countersign-console';
const GROUPS = { mia: ['reviewers'], noah: [] };
const pair = () => generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');

// What the provider was asked and said, what is to be made of its ID tokens, and whether it keeps what it would send a browser back to.
const heard = { asked: [], tokens: [], edit: null, keeps: false, kept: '' };
const key = pair();
const server = createServer();
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
const issuer = `http://127.0.0.1:${server.address().port}`;

const provide = (redirect) => {
  const provider = new Provider(issuer, {
    jwks: { keys: [{ ...key.export({ format: 'jwk' }), use: 'sig', alg: 'ES256', kid: 'k' }] },
    cookies: { keys: [randomBytes(32).toString('hex')] },
    clients: [
      {
        client_id: CLIENT, application_type: 'native', token_endpoint_auth_method: 'none', redirect_uris: [redirect], response_types: ['code'],
        grant_types: ['authorization_code'], id_token_signed_response_alg: 'ES256',
      },
    ],
    claims: { openid: ['sub'], profile: ['preferred_username', 'groups'] },
    // The console asks for nothing but the ID token.
    conformIdTokenClaims: false,
    findAccount: (_context, id) => GROUPS[id] && { accountId: id, claims: () => ({ sub: id, preferred_username: id, groups: GROUPS[id] }) },
    pkce: { required: () => true },
    features: { devInteractions: { enabled: true } },
    ttl: { Interaction: 600, Session: 600, Grant: 600, IdToken: 300 },
  });
  provider.use(async (context, next) => {
    if (context.path === '/auth') heard.asked.push(new URL(context.href));
    await next();
    const back = context.response.get('location') ?? '';
    if (heard.keeps && back.startsWith(redirect)) {
      context.remove('location');
      Object.assign(heard, { kept: back });
      Object.assign(context, { status: 200, body: 'kept' });
    }
    if (context.path === '/token' && context.body?.id_token) {
      heard.tokens.push(context.body.id_token);
      if (heard.edit) context.body.id_token = heard.edit(context.body.id_token);
    }
  });
  server.on('request', provider.callback());
};

class OidcWorld extends World {
  async serve() {
    const config = join(this.data, 'countersign.toml');
    // The demo writes its files when it is first started; then its address is known, too.
    if (existsSync(config) && !this.configured) {
      this.configured = true;
      provide(`${this.base}/console/callback`);
      appendFileSync(config, `
[[issuer]]
label = "corp"
url = "${issuer}"
audiences = ["${CLIENT}"]
client_id = "${CLIENT}"
scopes = ["openid", "profile"]
accept_id_tokens = true
# This provider's ID tokens have no typ.
types = ["JWT", ""]
name_claim = "preferred_username"
groups_claim = "groups"
groups_prefix = ""
`);
    }
    return super.serve();
  }
}

const world = new OidcWorld();
await world.start();
const { base } = world;
// Chromium's own sandbox does not run as root.
const browser = await chromium.launch({ executablePath: CHROMIUM, args: process.getuid() === 0 ? ['--no-sandbox'] : [] });
const open = async () => {
  const context = await browser.newContext({ ignoreHTTPSErrors: true });
  return { context, page: await context.newPage() };
};
const cookie = async (context) => (await context.cookies(base)).find((c) => c.name === COOKIE && c.value);
/** To the provider's first page. */
const begin = async ({ page }) => {
  await page.goto(`${base}/console/sessions?denied=true`);
  await page.getByRole('link', { name: 'Sign in with corp' }).click();
  await page.waitForURL(/\/interaction\//);
};
/** Through the provider's pages, as this person. */
const consent = async ({ page }, who) => {
  await page.locator('input[name=login]').fill(who);
  await page.locator('input[name=password]').fill('any');
  await page.getByRole('button', { name: /sign-in/i }).click();
  await page.getByRole('button', { name: /continue/i }).click();
};
const told = async ({ page }) => {
  await page.getByRole('heading', { level: 1 }).filter({ hasText: /^(Sessions|You are not signed in|Not allowed)$/ }).waitFor();
  return page.locator('main').textContent();
};
const enter = async (who = 'mia', b = undefined) => {
  const one = b ?? (await open());
  await begin(one);
  await consent(one, who);
  return { ...one, said: await told(one) };
};
/** The address that the provider would send this browser back to; it is not gone to. */
const stolen = async (b) => {
  heard.keeps = true;
  await begin(b);
  await consent(b, 'mia');
  await b.page.getByText('kept').waitFor();
  heard.keeps = false;
  return heard.kept;
};
const refused = async (b, want) => {
  const said = await told(b);
  assert.equal(await cookie(b.context), undefined, said);
  assert.match(said, want);
};

const cases = [];
const test = (name, act) => cases.push([name, act]);

test('a person signs in with PKCE and a nonce, and comes back to where they wanted to', async () => {
  const { context, page, said } = await enter();
  assert.equal(page.url(), `${base}/console/sessions?denied=true`, said);
  const asked = heard.asked.map((url) => url.searchParams).find((q) => q.get('client_id') === CLIENT);
  assert.equal(asked.get('code_challenge_method'), 'S256');
  assert.equal(asked.get('response_type'), 'code');
  assert.ok(asked.get('state').length >= 32 && asked.get('nonce').length >= 32 && asked.get('code_challenge').length >= 43);
  const c = await cookie(context);
  assert.ok(c.httpOnly && c.secure && c.sameSite === 'Lax' && c.path === '/', JSON.stringify(c));
  // Groups are those of the ID token: a reviewer sees the inbox.
  assert.equal((await page.goto(`${base}/console/inbox`)).status(), 200);
  await page.getByText('mia', { exact: true }).first().waitFor();
  await page.getByRole('button', { name: 'Sign out' }).click();
  assert.match((await page.goto(`${base}/console/inbox`)).url(), /sign-in/);
});

test('somebody who goes back at the provider is told so, and not let in', async () => {
  const b = await open();
  await begin(b);
  await b.page.getByRole('link', { name: /cancel/i }).click();
  await refused(b, /did not sign you in: access_denied/);
});

test('adv_084 a code is for the browser that began, and good once', async () => {
  const thief = await open();
  const url = await stolen(thief);
  // The victim's browser is sent to it: nobody is signed in as the thief.
  const victim = await open();
  await victim.page.goto(url);
  await refused(victim, /not begun in this browser/);
  // Nor with a sign-in of the victim's own under way.
  await begin(victim);
  await victim.page.goto(url);
  await refused(victim, /not begun in this browser/);
  // The thief's own browser may use it, once.
  await thief.page.goto(url);
  assert.ok(await cookie(thief.context));
  await thief.context.clearCookies({ name: COOKIE });
  await thief.page.goto(url);
  await refused(thief, /not begun in this browser/);
});

test('an answer in the name of another issuer, and a code of another sign-in, let nobody in', async () => {
  const one = await open();
  const mixed = new URL(await stolen(one));
  assert.equal(mixed.searchParams.get('iss'), issuer);
  mixed.searchParams.set('iss', 'https://evil.example');
  await one.page.goto(mixed.href);
  await refused(one, /issuer/i);
  // A code that was made for the thief's sign-in, put into the victim's: the verifier does not fit.
  const thief = new URL(await stolen(await open()));
  const victim = await open();
  const own = new URL(await stolen(victim));
  own.searchParams.set('code', thief.searchParams.get('code'));
  await victim.page.goto(own.href);
  await refused(victim, /./);
});

test('adv_084 ID tokens that are forged, unsigned, old or of another sign-in let nobody in', async () => {
  const before = heard.tokens.at(-1);
  const forged = (edit, signer = key) => (token) => {
    const [head, claims] = token.split('.').slice(0, 2).map((p) => JSON.parse(Buffer.from(p, 'base64url')));
    edit(claims, head);
    const text = `${part(head)}.${part(claims)}`;
    return `${text}.${sign('sha256', Buffer.from(text), { key: signer, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`;
  };
  for (const [n, edit] of [
    () => before,
    forged(() => {}, pair()),
    forged((claims) => (claims.nonce = 'another')),
    forged((claims) => delete claims.nonce),
    forged((claims) => (claims.aud = 'another-client')),
    forged((claims) => Object.assign(claims, { aud: [CLIENT, 'another'], azp: 'another' })),
    forged((claims) => (claims.iss = 'https://evil.example')),
    forged((claims) => Object.assign(claims, { iat: claims.iat - 7200, exp: claims.iat - 3600 })),
    (token) => `${part({ alg: 'none', typ: 'JWT' })}.${token.split('.')[1]}.`,
    (token) => token.replace(/\.[^.]+$/, ''),
    () => '',
  ].entries()) {
    heard.edit = edit;
    const b = await open();
    const { said } = await enter('mia', b);
    assert.equal(await cookie(b.context), undefined, `forgery ${n}: ${said}`);
    assert.match(said, /not signed in|sign/i);
  }
  // What is only signed anew by the provider is good.
  heard.edit = forged(() => {});
  const good = await enter();
  assert.ok(await cookie(good.context), good.said);
});

test('somebody whom no rule names sees nothing of others', async () => {
  const b = await open();
  await begin(b);
  await consent(b, 'noah');
  await b.page.getByRole('heading', { level: 1 }).waitFor();
  assert.ok(await cookie(b.context));
  assert.doesNotMatch(await b.page.locator('main').textContent(), /\bana\b|\bdora\b/);
});

test('somebody who is locked is out, and sees nothing after signing in again', async () => {
  const b = await enter();
  assert.equal((await b.page.goto(`${base}/console/inbox`)).status(), 200);
  world.operate(['locks', 'add', '--identity', 'mia', '--reason', 'test']);
  for (let n = 0; ; n++) {
    const status = (await b.page.goto(`${base}/console/inbox`)).status();
    if (status === 403) break;
    assert.ok(n < 100, 'the lock reaches the console');
    await b.page.waitForTimeout(100);
  }
  const again = await open();
  await begin(again);
  await consent(again, 'mia');
  await again.page.waitForURL((u) => u.href.startsWith(base));
  assert.match(await again.page.locator('main').textContent(), /locked out by lock/);
  assert.equal((await again.page.goto(`${base}/console/inbox`)).status(), 403);
});

const failed = await play(cases, () => Object.assign(heard, { edit: null, keeps: false }));
await browser.close();
server.closeAllConnections();
server.close();
await world.end();
console.log(`${cases.length - failed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);
