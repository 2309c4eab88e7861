// The console of a running demo, in chromium. CHROMIUM is the browser's program, COUNTERSIGN the binary, SCREENSHOTS (optional) a folder
// for pictures, ONLY (optional) a part of the names of the cases to run. Prints "ok NAME" or "not ok NAME", then "N passed, N failed".
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { mkdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import jsQR from 'jsqr';
import { chromium } from 'playwright-core';
import { PNG } from 'pngjs';
import { applied } from './applied.mjs';
import { first } from './first.mjs';
import { live } from './live.mjs';
import { pages } from './pages.mjs';
import { sql } from './sql.mjs';
import { PASSWORD, World, until } from './world.mjs';

const { CHROMIUM, ONLY, SCREENSHOTS } = process.env;
const WIDE = { width: 1280, height: 800 };
const PHONE = { width: 390, height: 844 };
const PAGE_BYTES_MAX = 100_000;
const COOKIE = '__Host-countersign';
const HOSTILE = `<img src=x onerror=alert(1)><script>alert(2)</script> \u202Eevil "' onmouseover=alert(3) x='`;
const axe = readFileSync(new URL('./node_modules/axe-core/axe.min.js', import.meta.url), 'utf8');

const world = new World();
await world.start();
const { base } = world;
// Chromium's own sandbox does not run as root.
const browser = await chromium.launch({ executablePath: CHROMIUM, args: process.getuid() === 0 ? ['--no-sandbox'] : [] });

// A browser of its own: what it complains of, whom it asks, and whether a script of somebody's ran.
const open = async (options = {}) => {
  const context = await browser.newContext({ viewport: WIDE, ...options });
  const page = await context.newPage();
  const seen = { complaints: [], asked: new Set(), dialogs: 0 };
  page.on('console', (m) => ['error', 'warning'].includes(m.type()) && seen.complaints.push(m.text()));
  page.on('pageerror', (e) => seen.complaints.push(String(e)));
  page.on('request', (r) => r.url().startsWith('http') && seen.asked.add(new URL(r.url()).origin));
  page.on('dialog', (d) => (seen.dialogs++, d.dismiss()));
  return { context, page, seen };
};

// Signs a person in on the pages of the local issuer, as a person does.
const signIn = async (name, options) => {
  const b = await open(options);
  await b.page.goto(`${base}/console`);
  await b.page.getByRole('link', { name: 'Sign in with a local account' }).click();
  await b.page.getByLabel('Name').fill(name);
  await b.page.getByLabel('Password').fill(PASSWORD);
  await b.page.getByRole('button', { name: 'Sign in' }).click();
  await b.page.getByRole('heading', { name: 'Overview' }).waitFor();
  return b;
};

const cookie = async (context) => (await context.cookies(base)).find((c) => c.name === COOKIE);
const csrf = (page) => page.locator('input[name=csrf]').first().inputValue();
const run = async (path, options = {}) => fetch(`${base}${path}`, { redirect: 'manual', ...options });
// Nothing serious that axe-core finds, and a picture where pictures are wanted.
const sound = async (page, what) => {
  const faults = await page.evaluate(`${axe};axe.run(document).then((r) => r.violations.filter((v) => ['serious', 'critical'].includes(v.impact)).map((v) => v.id + ' ' + v.nodes.map((n) => n.target).join(' ')))`);
  assert.deepEqual(faults, [], what);
  assert.ok((await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)) <= 0, `${what}: it scrolls sideways`);
  if (SCREENSHOTS) {
    mkdirSync(SCREENSHOTS, { recursive: true });
    await page.screenshot({ path: join(SCREENSHOTS, `${what}.png`) });
  }
};
const review = (page, text) => page.locator('a.entry', { hasText: text }).first();

const cases = [];
const test = (name, act) => cases.push([name, act]);
const people = {};

test('a one-time link signs in once, and never again', async () => {
  const { context, page } = await open();
  await page.goto(world.link);
  assert.equal(page.url(), `${base}/console`);
  await page.getByText('otto', { exact: true }).waitFor();
  const c = await cookie(context);
  assert.ok(c.httpOnly && c.secure && c.sameSite === 'Lax' && c.path === '/', JSON.stringify(c));
  people.otto = { context, page };
  const again = await open();
  const answer = await again.page.goto(world.link);
  assert.equal(answer.status(), 403);
  assert.equal(await cookie(again.context), undefined);
});

test('people sign in by the code flow and come back to where they wanted to', async () => {
  for (const name of ['rita', 'rolf', 'dina', 'mona']) people[name] = await signIn(name);
  const { page } = await open();
  await page.goto(`${base}/console/sessions?denied=true`);
  await page.getByRole('link', { name: 'Sign in with a local account' }).click();
  await page.getByLabel('Name').fill('rita');
  await page.getByLabel('Password').fill(PASSWORD);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('heading', { name: 'Sessions' }).waitFor();
  assert.equal(page.url(), `${base}/console/sessions?denied=true`);
});

test('psql holds, two people approve in two browsers, it runs once, the timeline shows it', async () => {
  const before = world.read('ana', 'select status from orders where id = 3');
  const held = world.psql('dora', "update orders set status = 'shipped' /* console */ where id = 3 returning id");
  const { rita, rolf, mona } = people;
  await rita.page.goto(`${base}/console/inbox`);
  // It comes by itself: the page renews its list.
  await review(rita.page, '/* console */').waitFor({ timeout: 60_000 });
  await review(rita.page, '/* console */').click();
  await rita.page.getByRole('heading', { name: 'What would run' }).waitFor();
  assert.match(await rita.page.locator('pre.statement').textContent(), /update orders set status = 'shipped' \/\* console \*\/ where id = 3/);
  assert.match(await rita.page.locator('main').textContent(), /2 of reviewers/);
  const url = rita.page.url();
  assert.match(await rita.page.locator('main').textContent(), /public\.orders/);
  await rita.page.getByLabel('Comment').fill('looks right <b>to me</b>');
  await rita.page.getByRole('button', { name: 'Approve' }).click();
  await rita.page.getByText('Approved. It goes on').waitFor();
  assert.equal(held.code, null, held.said);
  // Who was not asked sees nothing, and one person fills one place.
  assert.equal((await mona.page.goto(url)).status(), 404);
  assert.equal(await rita.page.getByRole('button', { name: 'Approve' }).count(), 0);
  await rolf.page.goto(url);
  assert.match(await rolf.page.locator('.quote').textContent(), /^looks right <b>to me<\/b>$/);
  await rolf.page.getByRole('button', { name: 'Approve' }).click();
  await rolf.page.getByText('Approved. It goes on').waitFor();
  assert.equal(await held.ended, 0, held.said);
  assert.match(held.said, /^3$/m);
  assert.match(held.said, /UPDATE 1/);
  assert.notEqual(before, undefined);
  assert.equal(world.read('ana', 'select status from orders where id = 3'), 'shipped');
  // Its life, as it was recorded.
  await rita.page.goto(`${base}/console/sessions?identity=dora&target=shop`);
  await rita.page.locator('tbody a').first().click();
  const life = rita.page.locator('.life');
  await life.waitFor();
  assert.equal((await life.locator('li.hold').count()), 1);
  assert.match(await life.textContent(), /order-changes-need-two/);
  assert.match(await life.textContent(), /1 changed/);
  assert.match(await life.textContent(), /released by rita, rolf|released by rolf, rita/);
});

test('nobody answers their own, and a denial is told', async () => {
  const held = world.psql('dina', "update orders set status = 'cancelled' /* mine */ where id = 4");
  const { dina, rita } = people;
  await until('it waits', async () => {
    await dina.page.goto(`${base}/console/inbox`);
    return review(dina.page, '/* mine */').isVisible();
  }, 60_000);
  await review(dina.page, '/* mine */').click();
  assert.equal(await dina.page.getByRole('button', { name: 'Approve' }).count(), 0);
  const id = dina.page.url().split('/').pop();
  // Not by hand, either.
  const status = await dina.page.evaluate(async ([id, csrf]) => {
    const body = new URLSearchParams({ csrf });
    return (await fetch(`/console/inbox/${id}/approve`, { method: 'POST', body, redirect: 'manual' })).status;
  }, [id, await csrf(dina.page)]);
  assert.equal(status, 403);
  await rita.page.goto(dina.page.url());
  await rita.page.getByLabel('Comment').fill('not on a Friday');
  await rita.page.getByRole('button', { name: 'Deny' }).click();
  await rita.page.getByText('Denied. The session goes on').waitFor();
  assert.notEqual(await held.ended, 0);
  assert.match(held.said, /not on a Friday/);
});

test('a live session is cut off by a lock, which is lifted again', async () => {
  const { otto } = people;
  const running = world.psql('dora', 'select count(*) /* cut me */ from orders a, orders b, orders c, orders d');
  const row = await until('it is live', async () => {
    if (running.code !== null) throw new Error(running.said);
    await otto.page.goto(`${base}/console/sessions?identity=dora`);
    const live = otto.page.locator('tbody tr', { has: otto.page.locator('.state.live') }).first();
    return (await live.count()) ? live : null;
  }, 60_000);
  await row.locator('a').first().click();
  await otto.page.getByText('Cut it off').click();
  await otto.page.getByLabel('Why').fill('a test');
  await otto.page.getByRole('button', { name: 'Lock this session out' }).click();
  await otto.page.getByText('The session is cut off').waitFor();
  assert.notEqual(await running.ended, 0);
  await otto.page.goto(`${base}/console/locks`);
  await otto.page.locator('.lock summary').first().click();
  await otto.page.locator('.lock').first().getByLabel('Why').fill('over');
  await otto.page.getByRole('button', { name: 'Lift this lock' }).click();
  await otto.page.getByText('Lifted.').waitFor();
});

test('a lock shows first what it would cut off; it keeps out of the console, too', async () => {
  const { otto, mona } = people;
  await otto.page.goto(`${base}/console/locks/new?name=mona`);
  await otto.page.getByRole('button', { name: 'Show what it would cut off' }).click();
  await otto.page.getByRole('heading', { name: /It would cut off 0 live sessions and 1 login/ }).waitFor();
  await otto.page.getByLabel(/Why/).fill('a test');
  await otto.page.getByRole('button', { name: 'Lock', exact: true }).click();
  await otto.page.getByText('Locked. Live sessions').waitFor();
  const answer = await mona.page.goto(`${base}/console`);
  assert.equal(answer.status(), 403);
  assert.match(await mona.page.locator('main').textContent(), /locked out/);
  // An empty lock would match everybody.
  await otto.page.goto(`${base}/console/locks/new`);
  await otto.page.getByRole('button', { name: 'Lock', exact: true }).click();
  assert.match(await otto.page.getByRole('alert').textContent(), /must name what it is about/);
});

test('who may not look is told why, and not shown anything', async () => {
  const { dina } = people;
  const { rita } = people;
  await rita.page.goto(`${base}/console/locks/new?name=ana`);
  await rita.page.getByLabel(/Why/).fill('a test');
  await rita.page.getByRole('button', { name: 'Lock', exact: true }).click();
  assert.match(await rita.page.getByRole('alert').textContent(), /no rule allows it/);
  assert.equal((await dina.page.goto(`${base}/console/policies`)).status(), 200);
  assert.match(await dina.page.locator('main').textContent(), /order-changes-need-two/);
});

test('adv: a change needs the token of this very session, and comes from this site', async () => {
  const { otto, rita } = people;
  const c = await cookie(otto.context);
  await otto.page.goto(`${base}/console/locks/new`);
  const token = await csrf(otto.page);
  await rita.page.goto(`${base}/console`);
  const others = await csrf(rita.page);
  const headers = { cookie: `${COOKIE}=${c.value}`, 'content-type': 'application/x-www-form-urlencoded' };
  const form = (csrf) => new URLSearchParams({ csrf, name: 'eve', reason: 'x', step: 'lock' }).toString();
  const locks = async () => (await (await run('/console/locks', { headers })).text()).split('class="card lock"').length;
  const before = await locks();
  for (const [what, body, more] of [
    ['no token', form(''), {}],
    ['a token of somebody else', form(others), {}],
    ['a token cut short', form(token.slice(0, -1)), {}],
    ['another site', form(token), { 'sec-fetch-site': 'cross-site' }],
    ['a sibling site', form(token), { 'sec-fetch-site': 'same-site' }],
    ['another origin', form(token), { origin: 'https://evil.example' }],
    ['no origin', form(token), { origin: 'null' }],
    ['a token given twice', `${form(token)}&csrf=${token}`, {}],
    ['plain text', form(token), { 'content-type': 'text/plain' }],
  ]) {
    const answer = await run('/console/locks/new', { method: 'POST', body, headers: { ...headers, ...more } });
    assert.ok([400, 403].includes(answer.status), `${what}: ${answer.status}`);
  }
  assert.equal(await locks(), before);
  // The control: with everything as it must be, it works.
  const fine = await run('/console/locks/new', { method: 'POST', body: form(token), headers: { ...headers, 'sec-fetch-site': 'same-origin' } });
  assert.equal(fine.status, 303);
  assert.equal(await locks(), before + 1);
});

test('adv: another site can neither post, frame nor read the console in a real browser', async () => {
  const { otto } = people;
  const evil = createServer((request, response) => {
    response.setHeader('content-type', 'text/html');
    response.end(`<!doctype html><title>evil</title><iframe name=f src="${base}/console"></iframe>
      <form id=f method=post action="${base}/console/sign-out"><input name=csrf value=x></form>`);
  });
  await new Promise((resolve) => evil.listen(0, '127.0.0.1', resolve));
  const page = await otto.context.newPage();
  await page.goto(`http://127.0.0.1:${evil.address().port}/`);
  await new Promise((resolve) => setTimeout(resolve, 300));
  assert.ok(page.frames().every((f) => !f.url().startsWith(base) || f.url().startsWith('chrome-error')), 'it is framed');
  const read = await page.evaluate(async (base) => {
    const tries = ['/console', '/console/inbox', '/v1/reviews', '/v1/sessions'].map(async (path) => {
      try {
        return await (await fetch(base + path, { credentials: 'include' })).text();
      } catch {
        return '';
      }
    });
    return (await Promise.all(tries)).join('');
  }, base);
  assert.equal(read, '');
  const streamed = await page.evaluate((base) => new Promise((resolve) => {
    const source = new EventSource(`${base}/console/inbox`, { withCredentials: true });
    source.onmessage = () => resolve('heard');
    source.onopen = () => resolve('opened');
    source.onerror = () => resolve('refused');
  }), base);
  assert.equal(streamed, 'refused');
  await page.evaluate(() => document.getElementById('f').submit());
  await page.waitForLoadState();
  await otto.page.goto(`${base}/console`);
  await otto.page.getByRole('heading', { name: 'Overview' }).waitFor();
  await page.close();
  evil.close();
});

test('adv: stored script in statements, names, claims and comments stays text', async () => {
  const { otto, rita } = people;
  world.operate(['accounts', 'add', 'mallory', '--group=dbas', '--secret-stdin'], PASSWORD);
  const held = world.psql('dora', `update orders set status = 'x' /* ${HOSTILE.replaceAll('*/', '')} */ where id = 5`);
  await rita.page.goto(`${base}/console/inbox`);
  const entry = review(rita.page, 'onerror');
  await entry.waitFor({ timeout: 60_000 });
  await entry.click();
  await rita.page.getByRole('heading', { name: 'What would run' }).waitFor();
  const shown = await rita.page.locator('pre.statement').textContent();
  assert.ok(shown.includes('<script>alert(2)</script>') && shown.includes('\\u{202e}') && !shown.includes('\u202e'), shown);
  await rita.page.getByLabel('Comment').fill(HOSTILE.replaceAll('\u202e', ''));
  await rita.page.getByRole('button', { name: 'Deny' }).click();
  await rita.page.getByText('Denied. The session').waitFor();
  await held.ended;
  for (const path of [
    `/console/sessions?identity=${encodeURIComponent(HOSTILE)}&target=${encodeURIComponent('"><script>alert(4)</script>')}`,
    `/console/locks/new?name=${encodeURIComponent(HOSTILE)}&reason=${encodeURIComponent('"><script>alert(5)</script>')}`,
    `/console/sign-in?next=${encodeURIComponent('javascript:alert(6)')}`,
    `/console/callback?error=${encodeURIComponent(HOSTILE)}&state=x`,
    '/console/inbox?did=%3Cscript%3E',
  ]) {
    await otto.page.goto(base + path);
    assert.equal(await otto.page.locator('script:not([src]), img, [onerror], [onmouseover]').count(), 0, path);
  }
  assert.equal(rita.seen.dialogs, 0);
});

test('adv: nobody is sent to another site after signing in', async () => {
  for (const next of ['https://evil.example/', '//evil.example', '/\\evil.example', '/console/../../evil', '/consolex', '/console//evil.example']) {
    const page = await (await run(`/console/sign-in?next=${encodeURIComponent(next)}`)).text();
    const href = /href="(\/console\/sign-in\/start[^"]*)"/.exec(page)[1].replaceAll('&#38;', '&').replaceAll('&amp;', '&');
    assert.equal(new URL(href, base).searchParams.get('next'), '/console', next);
  }
  const host = await run('/console/sign-in/start?with=local', { headers: { host: 'evil.example' } });
  assert.ok(!(host.headers.get('location') ?? '').includes('evil.example'));
});

test('adv: a session cannot be fixed, and ends when somebody signs out', async () => {
  const planted = `${'0'.repeat(26)}.${'a'.repeat(43)}`;
  const { context, page } = await open();
  await context.addCookies([{ name: COOKIE, value: planted, url: base.replace('http:', 'https:'), secure: true, httpOnly: true, sameSite: 'Lax' }]);
  await page.goto(`${base}/console`);
  assert.match(page.url(), /sign-in/);
  await page.getByRole('link', { name: 'Sign in with a local account' }).click();
  await page.getByLabel('Name').fill('rolf');
  await page.getByLabel('Password').fill(PASSWORD);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('heading', { name: 'Overview' }).waitFor();
  const first = (await cookie(context)).value;
  assert.notEqual(first, planted);
  // Another sign-in in the same browser ends this one.
  await page.goto(`${base}/console/sign-in`);
  await page.getByRole('link', { name: 'Sign in with a local account' }).click();
  await page.getByLabel('Name').fill('rolf');
  await page.getByLabel('Password').fill(PASSWORD);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('heading', { name: 'Overview' }).waitFor();
  const second = (await cookie(context)).value;
  assert.notEqual(second, first);
  const stands = async (value) => (await run('/console', { headers: { cookie: `${COOKIE}=${value}` } })).status;
  assert.deepEqual([await stands(first), await stands(second)], [303, 200]);
  await page.getByRole('button', { name: 'Sign out' }).click();
  await page.getByRole('heading', { name: 'Sign in' }).waitFor();
  assert.equal(await stands(second), 303);
});

test('adv: a sign-in is finished only where it was begun, and once', async () => {
  const begun = await run('/console/sign-in/start?with=local');
  assert.equal(begun.status, 303);
  const to = new URL(begun.headers.get('location'));
  for (const name of ['state', 'nonce', 'code_challenge']) assert.equal(to.searchParams.get(name).length, 43);
  assert.equal(to.searchParams.get('code_challenge_method'), 'S256');
  const state = to.searchParams.get('state');
  const mine = begun.headers.get('set-cookie').split(';')[0];
  for (const [what, query, headers] of [
    ['no cookie', `code=x&state=${state}`, {}],
    ['another state', `code=x&state=${'b'.repeat(43)}`, { cookie: mine }],
    ['no state', 'code=x', { cookie: mine }],
    ['two cookies', `code=x&state=${state}`, { cookie: `${mine}; ${mine}` }],
    ['a code of nobody', `code=x&state=${state}`, { cookie: mine }],
    ['once more', `code=x&state=${state}`, { cookie: mine }],
  ]) {
    const answer = await run(`/console/callback?${query}`, { headers });
    assert.equal(answer.status, 403, what);
    assert.ok(!(answer.headers.get('set-cookie') ?? '').includes(`${COOKIE}=`), what);
  }
});

// A security key in the browser (WebDriver's virtual authenticator), whose owner has set a PIN on it.
const virtualKey = async ({ context, page }) => {
  const cdp = await context.newCDPSession(page);
  await cdp.send('WebAuthn.enable');
  const options = { protocol: 'ctap2', transport: 'usb', hasUserVerification: true, isUserVerified: true, automaticPresenceSimulation: true };
  const { authenticatorId } = await cdp.send('WebAuthn.addVirtualAuthenticator', { options });
  return { verified: (isUserVerified) => cdp.send('WebAuthn.setUserVerified', { authenticatorId, isUserVerified }) };
};

// RFC 6238, as an authenticator app does it; `steps` from now.
const totp = (base32, steps = 0) => {
  const bits = [...base32].map((c) => 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'.indexOf(c).toString(2).padStart(5, '0')).join('');
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30_000) + steps));
  const mac = createHmac('sha1', Buffer.from(bits.match(/.{8}/g).map((b) => parseInt(b, 2)))).update(counter).digest();
  return String((mac.readUInt32BE(mac.at(-1) & 15) & 0x7fffffff) % 1_000_000).padStart(6, '0');
};

const waiting = async (page, mark) => {
  await page.goto(`${base}/console/inbox`);
  // Without a script the list does not renew itself.
  await until(`${mark} waits`, async () => (await review(page, mark).count()) || (await page.reload(), 0), 60_000);
  await page.goto(`${base}${await review(page, mark).getAttribute('href')}`);
  return page.url().split('/').pop();
};

test('a security key is registered, and signs exactly the statement that then runs once', async () => {
  const { rita } = people;
  const key = (rita.key = await virtualKey(rita));
  await rita.page.goto(`${base}/console`);
  await rita.page.getByRole('link', { name: 'Factors' }).click();
  const add = rita.page.locator('section', { hasText: 'Add a security key' });
  await add.getByLabel('Name').fill('blue <b>key</b>');
  await add.getByRole('button', { name: 'Add' }).click();
  await rita.page.getByText('Added.').waitFor();
  await rita.page.getByText('Remove', { exact: true }).click();
  await sound(rita.page, 'factors-with-a-key');
  assert.match(await rita.page.locator('li.factor').textContent(), /blue <b>key<\/b> security key.*localhost · counter 1/s);
  const price = () => Number(world.read('dina', 'select price from products where id = 1'));
  const before = price();
  const held = world.psql('dora', 'update products set price = price + 1 /* keyed */ where id = 1 returning id');
  const id = await waiting(rita.page, '/* keyed */');
  assert.match(await rita.page.locator('main').textContent(), /signed by a security key, for exactly what you see/);
  assert.equal(await rita.page.getByRole('button', { name: 'Approve', exact: true }).count(), 0);
  await sound(rita.page, 'review-with-a-key');
  // Not by a form without it, not by the API, not on the command line.
  const status = await rita.page.evaluate(async ([id, csrf]) => (await fetch(`/console/inbox/${id}/approve`, { method: 'POST', body: new URLSearchParams({ csrf }), redirect: 'manual' })).status, [id, await csrf(rita.page)]);
  assert.equal(status, 403);
  const command = world.command('rita', ['reviews', 'approve', id]);
  assert.equal(command.code, 5, command.said);
  assert.match(command.said, new RegExp(`security key.*\n.*/console/inbox/${id}`));
  assert.ok(command.said.split('\n').every((line) => line.length <= 80), command.said);
  // A key that did not ask for its PIN does not do, and can be tried again.
  await key.verified(false);
  await rita.page.getByRole('button', { name: 'Approve with a security key' }).click();
  await rita.page.getByText('The key was not used').waitFor();
  await sound(rita.page, 'review-key-not-used');
  assert.match(held.said, /1 of reviewers \(with webauthn\) must approve it/);
  assert.equal(held.code, null, held.said);
  await key.verified(true);
  await rita.page.getByRole('button', { name: 'Approve with a security key' }).click();
  await rita.page.getByText('Approved. It goes on').waitFor();
  assert.equal(await held.ended, 0, held.said);
  assert.match(held.said, /UPDATE 1/);
  assert.equal(price(), before + 1);
  assert.match(await rita.page.locator('.said-list').textContent(), /rita approved with a security key/);
  const shown = world.command('rita', ['reviews', 'show', id]);
  assert.match(shown.said, /rita approved with webauthn/);
  assert.match(shown.said, /each with a security key/);
});

test('psql holds, two people approve in two browsers, one with the key, one with a code and no script; it runs once', async () => {
  const { rita } = people;
  const rolf = await signIn('rolf', { javaScriptEnabled: false });
  await rolf.page.goto(`${base}/console/factors`);
  await rolf.page.locator('section', { hasText: 'Add an authenticator app' }).getByLabel('Name').fill('phone');
  await rolf.page.locator('section', { hasText: 'Add an authenticator app' }).getByRole('button', { name: 'Add' }).click();
  const secret = await rolf.page.locator('#secret').textContent();
  assert.match(await rolf.page.locator('main').textContent(), /otpauth:\/\/totp\/localhost:rolf\?secret=/);
  await rolf.page.getByLabel('The code that the app shows now').fill('000000');
  await rolf.page.getByRole('button', { name: 'Confirm' }).click();
  assert.match(await rolf.page.getByRole('alert').first().textContent(), /the code is wrong/);
  // It was shown once: a new one is made.
  await rolf.page.goto(`${base}/console/factors`);
  assert.equal((await rolf.page.content()).includes(secret), false);
  await rolf.page.locator('section', { hasText: 'Add an authenticator app' }).getByLabel('Name').fill('phone');
  await rolf.page.locator('section', { hasText: 'Add an authenticator app' }).getByRole('button', { name: 'Add' }).click();
  const good = await rolf.page.locator('#secret').textContent();
  const drawn = PNG.sync.read(await rolf.page.locator('svg.qr').screenshot());
  const scanned = new URL(jsQR(new Uint8ClampedArray(drawn.data), drawn.width, drawn.height).data);
  assert.equal(scanned.protocol, 'otpauth:');
  assert.equal(scanned.searchParams.get('secret'), good);
  if (SCREENSHOTS) await rolf.page.screenshot({ path: join(SCREENSHOTS, 'factors-new-codes.png') });
  await rolf.page.getByLabel('The code that the app shows now').fill(totp(good));
  await rolf.page.getByRole('button', { name: 'Confirm' }).click();
  await rolf.page.getByText('Added.').waitFor();
  const held = world.psql('dora', "update payments set reference = reference /* two factors */ where id = 1 returning id");
  const id = await waiting(rita.page, '/* two factors */');
  await rita.page.getByRole('button', { name: 'Approve with a security key' }).click();
  await rita.page.getByText('Approved. It goes on').waitFor();
  assert.equal(held.code, null, held.said);
  await waiting(rolf.page, '/* two factors */');
  if (SCREENSHOTS) await rolf.page.screenshot({ path: join(SCREENSHOTS, 'review-with-a-code.png') });
  await rolf.page.getByLabel('Code of your authenticator app').fill(totp(good));
  await rolf.page.getByRole('button', { name: 'Approve with the code' }).click();
  assert.match(await rolf.page.locator('.trouble[role=alert]').first().textContent(), /was used before/);
  const next = totp(good, 1);
  await rolf.page.getByLabel('Code of your authenticator app').fill(next);
  await rolf.page.getByRole('button', { name: 'Approve with the code' }).click();
  await rolf.page.getByText('Approved. It goes on').waitFor();
  assert.equal(await held.ended, 0, held.said);
  assert.equal(held.said.match(/UPDATE 1/g).length, 1);
  await people.otto.page.goto(`${base}/console/sessions?identity=dora&target=shop`);
  await people.otto.page.locator('tbody a').first().click();
  assert.match(await people.otto.page.locator('.life').textContent(), /webauthn: rita; totp: rolf/);
  const story = world.operate(['sessions', 'show', people.otto.page.url().split('/').pop()]);
  assert.match(story, /webauthn: rita; totp: rolf/);
  // What was recorded of the answer has no code in it.
  const answered = world.operate(['sessions', 'list', '--target', 'countersign', '--identity', 'rolf', '--output', 'json']);
  for (const session of JSON.parse(answered).sessions.slice(0, 8)) {
    assert.ok(!world.operate(['sessions', 'show', session.id ?? session.session]).includes(next));
  }
  await rolf.context.close();
  assert.ok(id);
});

test('adv: a stolen session alone adds and removes no factor', async () => {
  const { rita } = people;
  const thief = await open({ storageState: await rita.context.storageState() });
  await virtualKey(thief);
  await thief.page.goto(`${base}/console/factors`);
  const add = thief.page.locator('section', { hasText: 'Add a security key' });
  await add.getByLabel('Name').fill('evil');
  await add.getByRole('button', { name: 'Add, showing another key' }).click();
  // The browser of a thief has no such key to show.
  await add.getByText('The key was not used').waitFor();
  const post = (path, fields) => thief.page.evaluate(async ([path, fields]) => (await fetch(path, { method: 'POST', body: new URLSearchParams(fields), redirect: 'manual' })).status, [path, fields]);
  const token = await csrf(thief.page);
  assert.equal(await post('/console/factors/codes', { csrf: token, name: 'evil' }), 403);
  assert.equal(await post('/console/factors/keys', { csrf: token, name: 'evil', registration: '{}' }), 403);
  const remove = await thief.page.locator('li.factor form').getAttribute('action');
  assert.equal(await post(remove, { csrf: token }), 403);
  assert.equal(await post(remove, { csrf: token, assertion: '{"credential":"AA","client_data":"AA","authenticator_data":"AA","signature":"AA"}' }), 403);
  await thief.page.goto(`${base}/console/factors`);
  assert.equal(await thief.page.locator('li.factor').count(), 1);
  await thief.context.close();
  // Whose it is may, and an operator whom policy lets begins anew for somebody who lost all.
  await rita.page.goto(`${base}/console/factors`);
  await rita.page.getByText('Remove', { exact: true }).click();
  await rita.page.getByRole('button', { name: 'Remove with a security key' }).click();
  await rita.page.getByText('Removed.').waitFor();
  assert.notEqual(world.command('rita', ['factors', 'reset', 'rolf', '--reason', 'a test']).code, 0);
  const reset = world.command('otto', ['factors', 'reset', 'rolf', '--reason', 'a test']);
  assert.equal(reset.code, 0, reset.said);
  assert.match(reset.said, /removed 1 factor/);
});

applied({ test, world, base, signIn, csrf, people, hostile: HOSTILE });
pages({ test, world, base, signIn, csrf, people });
first({ test, world, open, sound });
sql({ test, world, base, signIn, csrf, sound, hostile: HOSTILE });
live({ test, world, base, signIn, cookie, run, review, people });

test('somebody whose account is disabled is signed out with the next request', async () => {
  const { rolf } = people;
  world.operate(['accounts', 'disable', 'rolf']);
  await rolf.page.goto(`${base}/console`);
  assert.match(rolf.page.url(), /sign-in/);
});

test('every page is small, sound in light and dark, and asks nobody else', async () => {
  const state = await people.otto.context.storageState();
  for (const [device, viewport] of [['desktop', WIDE], ['phone', PHONE]]) {
    for (const colorScheme of ['light', 'dark']) {
      const { context, page, seen } = await open({ viewport, colorScheme, storageState: state });
      await page.goto(`${base}/console/sessions?identity=dora`);
      const session = await page.locator('tbody a').first().getAttribute('href');
      await page.goto(`${base}/console/inbox?all=true`);
      const over = await review(people.rita.page, '').count();
      const all = ['', '/inbox?all=true', '/sessions', session.replace('/console', ''), '/identities', '/locks?all=true', '/locks/new', '/policies', '/policies/edit?path=other.cedar', '/policies/history', '/policies/history/1', '/factors', '/targets', '/tags', '/grants?all=true&everybody=true', '/grants/new', '/sql', '/settings', '/sign-in', '/callback'];
      for (const path of all) {
        const answer = await page.goto(`${base}/console${path}`);
        const what = `${path || '/'} on ${device} in ${colorScheme}`;
        assert.ok((await answer.body()).length < PAGE_BYTES_MAX, `${what}: ${(await answer.body()).length} bytes`);
        const headers = answer.headers();
        assert.match(headers['content-security-policy'], /default-src 'none'.*frame-ancestors 'none'/, what);
        assert.equal(headers['x-frame-options'], 'DENY', what);
        assert.equal(headers['cache-control'], 'no-store', what);
        const name = path.replace(/\?.*/, '').replaceAll('/', '-').replace(/^-/, '') || 'overview';
        await sound(page, `${name.replace(/sessions-.*/, 'timeline')}-${device}-${colorScheme}`);
      }
      assert.deepEqual([...seen.asked], [base]);
      assert.deepEqual(seen.complaints.filter((c) => !/403|Forbidden/.test(c)), []);
      assert.ok(over >= 0);
      await context.close();
    }
  }
});

test('the keyboard alone answers', async () => {
  const held = world.psql('dora', "update orders set status = 'x' /* keys */ where id = 6");
  const { rita } = people;
  await rita.page.goto(`${base}/console/inbox`);
  await review(rita.page, '/* keys */').waitFor({ timeout: 60_000 });
  await rita.page.goto(`${base}${await review(rita.page, '/* keys */').getAttribute('href')}`);
  await rita.page.keyboard.press('Tab');
  assert.equal(await rita.page.evaluate(() => document.activeElement.textContent), 'Skip to the content');
  for (let n = 0; n < 40 && (await rita.page.evaluate(() => document.activeElement.textContent)) !== 'Deny'; n++) await rita.page.keyboard.press('Tab');
  await rita.page.keyboard.press('Enter');
  await rita.page.getByText('Denied. The session').waitFor();
  await held.ended;
});

let [passed, failed] = [0, 0];
for (const [name, act] of cases.filter(([name], n) => !ONLY || n < 2 || name.includes(ONLY))) {
  try {
    await act();
    passed++;
    console.log(`ok ${name}`);
  } catch (e) {
    failed++;
    console.log(`not ok ${name}\n${String(e.stack ?? e).replaceAll(/^/gm, '    ')}`);
  }
}
if (failed) console.log(world.said.slice(-3000));
await browser.close();
await world.end();
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);
